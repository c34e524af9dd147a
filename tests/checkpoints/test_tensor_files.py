import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from triscope.checkpoints.tensor_files import TensorSource, write_safetensors
from triscope.data.errors import ConfigurationError

TENSORS = {
    "matrix": torch.arange(6.0).view(2, 3),
    "half": torch.randn(4).half(),
    "brain": torch.randn(2, 2).bfloat16(),
    "count": torch.tensor(7),
    "turned": torch.arange(6.0).view(2, 3).T,
}


def as_file(folder: Path, form: str) -> Path:
    """The tensors in one of the forms that weights come in."""
    match form:
        case "safetensors":
            save_file({name: tensor.contiguous() for name, tensor in TENSORS.items()}, folder / "a.safetensors")
            return folder / "a.safetensors"
        case "bare":
            torch.save(TENSORS, folder / "a.pth")
        case "wrapped":
            torch.save({"model": TENSORS, "epoch": 3, "optimizer": {"state": {}}}, folder / "a.pth")
        case "legacy":
            torch.save(TENSORS, folder / "a.pth", _use_new_zipfile_serialization=False)
    return folder / "a.pth"


@pytest.mark.parametrize("form", ["safetensors", "bare", "wrapped", "legacy"])
def test_every_form_of_file_gives_its_tensors_one_by_one(form, tmp_path):
    source = TensorSource.open(as_file(tmp_path, form))
    assert source.layout.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert source.layout[name].is_meta and source.layout[name].shape == tensor.shape
        torch.testing.assert_close(source.read(name), tensor, atol=0, rtol=0)


@pytest.mark.parametrize(
    ("index", "extension"), [("model.safetensors.index.json", "safetensors"), ("pytorch_model.bin.index.json", "bin")]
)
def test_a_folder_gives_the_tensors_of_all_its_shards_and_misses_one(index, extension, tmp_path):
    shards = {f"part-{number}.{extension}": name for number, name in enumerate(TENSORS)}
    for file, name in shards.items():
        save = save_file if extension == "safetensors" else torch.save
        save({name: TENSORS[name].contiguous()}, tmp_path / file)
    (tmp_path / index).write_text(json.dumps({"weight_map": {name: file for file, name in shards.items()}}))
    source = TensorSource.open(tmp_path)
    assert all(torch.equal(source.read(name), tensor) for name, tensor in TENSORS.items())
    (tmp_path / f"part-3.{extension}").unlink()
    with pytest.raises(ConfigurationError, match=f"no file .*part-3.{extension}"):
        TensorSource.open(tmp_path)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"weight_map": []}'])
def test_an_index_that_is_none_is_told(content, tmp_path):
    (tmp_path / "model.safetensors.index.json").write_text(content)
    with pytest.raises(ConfigurationError, match=r"model\.safetensors\.index\.json: found .*Download it again"):
        TensorSource.open(tmp_path)


def test_what_is_written_in_any_order_is_read_by_safetensors(tmp_path):
    write_safetensors(tmp_path / "a.safetensors", TENSORS, reversed(TENSORS.items()))
    found = load_file(tmp_path / "a.safetensors")
    assert found.keys() == TENSORS.keys()
    assert all(torch.equal(found[name], tensor) and found[name].dtype == tensor.dtype for name, tensor in TENSORS.items())


def test_others_may_read_what_was_written_as_any_new_file(tmp_path):
    write_safetensors(tmp_path / "a.safetensors", TENSORS, TENSORS.items())
    (tmp_path / "other").touch()
    assert (tmp_path / "a.safetensors").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_tensor_that_never_comes_or_has_another_shape_is_told(tmp_path):
    with pytest.raises(ValueError, match="1 tensors never came, the first of them half"):
        write_safetensors(tmp_path / "a", TENSORS, ((name, tensor) for name, tensor in TENSORS.items() if name != "half"))
    with pytest.raises(ValueError, match=r"matrix is \(3,\) float32, and \(2, 3\) float32 in the layout"):
        write_safetensors(tmp_path / "b", TENSORS, [("matrix", torch.zeros(3))])


@pytest.mark.parametrize("form", ["safetensors", "bare", "legacy"])
@pytest.mark.parametrize("share", [0.95, 0.3, 0.0])
def test_a_file_that_was_cut_off_is_told_as_such(form, share, tmp_path):
    file = as_file(tmp_path, form)
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ConfigurationError, match=r"bytes that cannot be read .*Download it again") as error:
        source = TensorSource.open(file)
        for name in source.layout:
            source.read(name)
    assert str(file) in str(error.value)


class Stranger:
    """What unpickles into a touched file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self):
        return (Path.touch, (self.file,))


@pytest.mark.parametrize("is_zip", [True, False])
def test_a_pickle_that_would_run_a_program_is_refused_with_the_way_out(is_zip, tmp_path):
    torch.save(
        {"model": TENSORS, "config": Stranger(tmp_path / "owned")}, tmp_path / "a.pth", _use_new_zipfile_serialization=is_zip
    )
    told = r"found more than plain tensors \(.*\); expected plain tensors.*safetensors\.torch\.save_file"
    with pytest.raises(ConfigurationError, match=told) as error:
        TensorSource.open(tmp_path / "a.pth")
    assert not (tmp_path / "owned").exists()
    assert "add_safe_globals" not in str(error.value)  # torch's advice, to unpickle it all the same


@pytest.mark.parametrize(
    ("content", "found"),
    [({"a": torch.zeros(1), "b": 3}, "entries that are no tensors: b"), ([torch.zeros(1)], "a list"), ({}, "a dict")],
)
def test_what_is_no_dictionary_of_tensors_is_refused(content, found, tmp_path):
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(ConfigurationError, match=f"found {found}"):
        TensorSource.open(tmp_path / "a.pth")


def test_a_path_without_weights_says_what_it_looked_for(tmp_path):
    with pytest.raises(ConfigurationError, match=r"a folder without weights; expected .*model\.safetensors"):
        TensorSource.open(tmp_path)
    with pytest.raises(ConfigurationError, match="found nothing"):
        TensorSource.open(tmp_path / "nowhere.pth")
