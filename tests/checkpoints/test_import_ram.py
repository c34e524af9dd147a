"""RAM's checkpoint becomes a tagger in a folder; one that is not whole, or of other tags, is refused and leaves nothing."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.tagging.tiny_taggers import built, published_ram, write_ram
from triscope.cli import main

SEEN = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))


def named_as_in_older_files(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.replace("tagging_head", "vision_multi"): value for name, value in state.items()}


def imported(given: Path, state: dict[str, Tensor]) -> Path:
    """Import a checkpoint for the tagger that `write_ram` wrote."""
    torch.save({"model": state}, given / "ram.pth")
    main(["import", "ram", str(given / "ram.pth"), "--model", str(given / "ram.yaml"), "--out", str(given / "imported")])
    return given / "imported"


def with_captions(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return state | {"text_decoder.bert.embeddings.position_ids": torch.zeros(3)}


@pytest.mark.parametrize("changed", [dict, named_as_in_older_files, with_captions])
def test_an_imported_tagger_tags_as_its_network_does_wherever_its_folder_is_moved(changed: Callable, tmp_path):
    expected = built(write_ram(tmp_path))
    folder = imported(tmp_path, changed(published_ram(expected)))
    moved = folder.rename(tmp_path / "moved")
    for file in ("ram.safetensors", "names.txt", "thresholds.txt"):
        (tmp_path / file).unlink()
    assert torch.equal(built(moved)(SEEN), expected(SEEN))
    assert built(moved).tags(SEEN) == expected.tags(SEEN)
    assert (moved / "manifest.json").is_file()


def test_the_published_lists_are_found_beside_the_checkpoint(tmp_path, capsys):
    torch.save({"model": {"label_embed": torch.zeros(5, 512)}}, tmp_path / "ram_swin_large_14m.pth")
    (tmp_path / "ram_tag_list.txt").write_text("dog\ncat\n")
    (tmp_path / "ram_tag_list_threshold.txt").write_text("0.5\n0.5\n")
    with pytest.raises(SystemExit, match=r"found embeddings of 5 tags; expected 2, one for each line of .*ram_tag_list\.txt"):
        main(["import", "ram", str(tmp_path / "ram_swin_large_14m.pth"), "--out", str(tmp_path / "out")])
    (tmp_path / "ram_tag_list.txt").unlink()
    with pytest.raises(SystemExit, match=r"ram_tag_list\.txt: found no file"):
        main(["import", "ram", str(tmp_path / "ram_swin_large_14m.pth"), "--out", str(tmp_path / "out")])


def with_other_tags(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return state | {"label_embed": torch.zeros(6, 8)}


def without_a_bias(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if name != "fc.bias"}


def with_a_stranger(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return state | {"stranger.weight": torch.zeros(1)}


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (with_other_tags, r"found embeddings of 6 tags; expected 5, one for each line of .*names\.txt"),
        (without_a_bias, r"found nothing for tagger\.score\.bias"),
        (with_a_stranger, r"tensors of no known place: stranger\.weight"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused_and_leaves_nothing(changed: Callable, told: str, tmp_path):
    tagger = built(write_ram(tmp_path))
    with pytest.raises(SystemExit, match=told):
        imported(tmp_path, changed(published_ram(tagger)))
    assert not any("imported" in path.name for path in tmp_path.iterdir())
