"""Whatever is wrong with a source: what was found and expected is told, and nothing is left behind."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from triscope.checkpoints import import_weights as importing
from triscope.cli import main

TOWER = {"cls_token": torch.zeros(1, 1, 1408), "pos_embed": torch.zeros(1, 257, 1408)}


class Stranger:
    """What unpickles into a touched file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self):
        return (Path.touch, (self.file,))


def cut_off(file: Path) -> None:
    torch.save(TOWER, file)
    file.write_bytes(file.read_bytes()[:900_000])


def a_picture(file: Path) -> None:
    file.write_bytes(b"\xff\xd8\xff\xe0 a photo")


def a_program(file: Path) -> None:
    torch.save(TOWER | {"optimizer": Stranger(file.parent / "owned")}, file)


def another_kind(file: Path) -> None:
    torch.save({"model": {"query_tokens": torch.zeros(1, 32, 768), "soft_prompt_hint": torch.zeros(2048)}}, file)


def half_of_it(file: Path) -> None:
    torch.save(TOWER, file)


@pytest.mark.parametrize(
    ("write", "told"),
    [
        (cut_off, r"bytes that cannot be read .*expected a whole weight file"),
        (a_picture, r"bytes that cannot be read \([^.]+\); expected a whole weight file"),
        (a_program, r"found more than plain tensors .*expected plain tensors.*safetensors"),
        (another_kind, r"expected .* of kind eva-vit-g\. This looks like kind lion"),
        (half_of_it, r"found nothing for vision\.tower\.patch_embed\.proj\.weight.*expected all \d+ tensors"),
        (lambda file: None, r"found nothing; expected a weight file"),
    ],
    ids=["cut off", "a picture", "a program", "another kind", "half of it", "nothing"],
)
def test_a_bad_source_is_refused_and_leaves_nothing(write: Callable[[Path], None], told: str, tmp_path):
    (tmp_path / "given").mkdir()
    write(tmp_path / "given" / "weights.pth")
    with pytest.raises(SystemExit, match=told):
        main(["import", "eva-vit-g", str(tmp_path / "given" / "weights.pth"), "--out", str(tmp_path / "out")])
    assert [each.name for each in tmp_path.iterdir()] == ["given"]
    assert not (tmp_path / "given" / "owned").exists()


@pytest.mark.parametrize(
    ("kind", "config", "told"),
    [
        ("instructblip", '{"model_type": "t5"}', "a model of type 't5', without text_config, vision_config"),
        ("llava", '{"model_type": "t5", "text_config": {}}', "a model of type 't5', without vision_config, vision_feature_layer"),
        ("blip2", '{"model_type": ', "no JSON"),
    ],
)
def test_a_folder_of_another_model_is_told_by_its_type_and_leaves_nothing(kind, config, told, tmp_path):
    (tmp_path / "given").mkdir()
    save_file({"shared.weight": torch.zeros(2)}, tmp_path / "given" / "model.safetensors")
    (tmp_path / "given" / "config.json").write_text(config)
    with pytest.raises(SystemExit, match=told):
        main(["import", kind, str(tmp_path / "given"), "--out", str(tmp_path / "out")])
    assert [each.name for each in tmp_path.iterdir()] == ["given"]


@pytest.mark.parametrize(
    ("content", "told"), [(b"\xff\xd8", "no YAML"), (b"a: [", "no YAML"), (b"{}", "no class_path and init_args")]
)
def test_a_model_file_that_is_none_is_refused(content, told, tmp_path):
    torch.save(TOWER, tmp_path / "a.pth")
    (tmp_path / "model.yaml").write_bytes(content)
    model = ("--model", str(tmp_path / "model.yaml"))
    with pytest.raises(SystemExit, match=rf"--model .*model\.yaml: found {told}"):
        main(["import", "eva-vit-g", str(tmp_path / "a.pth"), "--out", str(tmp_path / "out"), *model])


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    torch.save(TOWER, tmp_path / "a.pth")
    with pytest.raises(SystemExit, match=r"--out .*a\.pth.out: found .*expected a place that can be written to"):
        main(["import", "eva-vit-g", str(tmp_path / "a.pth"), "--out", str(tmp_path / "a.pth" / "out")])


def test_an_import_that_breaks_off_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), importing.new_folder(tmp_path / "out") as scratch:
        (scratch / "parts.safetensors").write_bytes(b"half")
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_a_folder_with_files_is_not_written_over(tmp_path):
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(SystemExit, match="found a folder with files; expected a new or empty one"):
        main(["import", "eva-vit-g", str(tmp_path / "mine"), "--out", str(tmp_path)])
    assert (tmp_path / "mine").read_text() == "precious"


def test_a_base_that_nobody_needs_is_refused(tmp_path):
    torch.save(TOWER, tmp_path / "a.pth")
    with pytest.raises(SystemExit, match=r"--base: found .*expected none"):
        main(["import", "eva-vit-g", str(tmp_path / "a.pth"), "--base", str(tmp_path), "--out", str(tmp_path / "out")])
