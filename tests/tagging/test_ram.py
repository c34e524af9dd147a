"""RAM's lists of tags, and weights that are not whole, of another layout, or of other tags."""

import pytest
import torch
from safetensors.torch import save_file

from tests.conftest import shared
from tests.tagging.tiny_taggers import built, published_ram, write_ram
from triscope.data.errors import ConfigurationError
from triscope.tagging.ram import RamTagger


def test_the_published_lists_have_a_threshold_for_each_tag():
    lists = shared("ram_tags")
    with torch.device("meta"):
        tagger = RamTagger("not read here", str(lists / "ram_tag_list.txt"), str(lists / "ram_tag_list_threshold.txt"))
    assert len(tagger.vocabulary.names) == len(tagger.vocabulary.thresholds) == 4585
    assert sum(threshold == 0.65 for threshold in tagger.vocabulary.thresholds) == 3414
    assert "3d cg rendering" in tagger.vocabulary.names


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


def test_the_published_layout_is_refused_until_it_is_imported(tmp_path):
    file = write_ram(tmp_path)
    save_file(published_ram(built(file)), tmp_path / "ram.safetensors")
    with pytest.raises(ConfigurationError, match=r"expected what `triscope import ram` writes.*Import the published file"):
        built(file)
