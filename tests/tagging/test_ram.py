"""RAM's published file maps completely, and one that is not whole, or of other tags, is refused."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.checkpoints.layouts import layout
from tests.conftest import shared
from tests.tagging.tiny_taggers import built, write_ram
from triscope.data.errors import ConfigurationError
from triscope.tagging.ram import RAM_KEYS, RamTagger, RecognizeAnything

TAGGING_PARAMETERS = 212_117_045  # of the layout's table


def test_the_published_layout_maps_completely():
    with torch.device("meta"):
        network = RecognizeAnything(4585)
    mapped = RAM_KEYS.apply(layout("ram_swin_large_384"), network.state_dict(), "the table")
    assert len(mapped.entries) == len(network.state_dict())
    assert sum(parameter.numel() for parameter in network.parameters()) == TAGGING_PARAMETERS


def test_the_published_lists_have_a_threshold_for_each_tag():
    lists = shared("ram_tags")
    with torch.device("meta"):
        tagger = RamTagger("not read here", str(lists / "ram_tag_list.txt"), str(lists / "ram_tag_list_threshold.txt"))
    assert len(tagger.vocabulary.names) == len(tagger.vocabulary.thresholds) == 4585
    assert sum(threshold == 0.65 for threshold in tagger.vocabulary.thresholds) == 3414
    assert "3d cg rendering" in tagger.vocabulary.names


def test_older_files_name_the_head_otherwise(tmp_path):
    file = write_ram(tmp_path)
    seen = torch.randint(0, 256, (1, 3, 32, 32), dtype=torch.uint8)
    scores = built(file)(seen)
    weights = tmp_path / "ram.safetensors"
    save_file({name.replace("tagging_head", "vision_multi"): value for name, value in load_file(weights).items()}, weights)
    torch.testing.assert_close(built(file)(seen), scores)


def test_what_torch_saved_under_model_is_read_too(tmp_path):
    file = write_ram(tmp_path)
    state = load_file(tmp_path / "ram.safetensors") | {"text_decoder.bert.embeddings.position_ids": torch.zeros(3)}
    torch.save({"model": state}, tmp_path / "ram.pth")
    file.write_text(file.read_text().replace("ram.safetensors", "ram.pth"))
    seen = torch.randint(0, 256, (1, 3, 32, 32), dtype=torch.uint8)
    scores = built(file)(seen)
    file.write_text(file.read_text().replace("ram.pth", "ram.safetensors"))
    torch.testing.assert_close(built(file)(seen), scores)


def test_a_vocabulary_of_another_length_is_refused(tmp_path):
    file = write_ram(tmp_path)
    (tmp_path / "names.txt").write_text("dog\ncat\n")
    (tmp_path / "thresholds.txt").write_text("0.5\n0.5\n")
    with pytest.raises(ConfigurationError, match=r"found embeddings of 5 tags; expected 2, one for each line of .*names\.txt"):
        built(file)


def test_truncated_weights_are_refused(tmp_path):
    file, weights = write_ram(tmp_path), tmp_path / "ram.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(ConfigurationError, match=r"ram\.safetensors: found .* bytes that cannot be read.*expected a whole"):
        built(file)


def test_weights_without_a_tensor_or_with_an_unknown_one_are_refused(tmp_path):
    file, weights = write_ram(tmp_path), tmp_path / "ram.safetensors"
    state = load_file(weights)
    save_file({name: value for name, value in state.items() if name != "fc.bias"}, weights)
    with pytest.raises(ConfigurationError, match=r"nothing for score\.bias"):
        built(file)
    save_file(state | {"stranger.weight": torch.zeros(1)}, weights)
    with pytest.raises(ConfigurationError, match=r"stranger\.weight"):
        built(file)
