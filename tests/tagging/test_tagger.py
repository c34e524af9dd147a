"""What every tagger does with pictures, thresholds and its configuration file."""

import pytest
import torch

from tests.data.tiny import jpeg, picture
from tests.tagging.tiny_taggers import NAMES, built, write_naming, write_open_clip, write_ram
from triscope.data.errors import BadSampleError, ConfigurationError
from triscope.tagging.tagger import build_tagger, read_tagger

each_kind = pytest.mark.parametrize("write", [write_ram, write_open_clip, write_naming], ids=["ram", "open_clip", "naming"])


def pictures(count: int, side: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))


@each_kind
def test_a_tag_is_given_above_its_own_threshold_and_in_the_order_of_the_vocabulary(write, tmp_path):
    tagger = built(write(tmp_path))
    seen = pictures(1, tagger.image_size)
    scores = tagger(seen)[0].tolist()
    below_above = [score + step for score, step in zip(scores, (-0.001, 0.001, -0.001, 0.001, -0.001), strict=True)]
    tagger = built(write(tmp_path, thresholds=tuple(below_above)))
    (tags,) = tagger.tags(seen)
    assert [tag.name for tag in tags] == [tagger.vocabulary.names[k] for k in (0, 2, 4)]
    assert [tag.score for tag in tags] == [round(scores[k], 4) for k in (0, 2, 4)]


@each_kind
def test_a_picture_is_scored_alike_alone_and_among_others(write, tmp_path):
    tagger = built(write(tmp_path))
    seen = pictures(3, tagger.image_size)
    torch.testing.assert_close(tagger(seen)[1:2], tagger(seen[1:2]), atol=1e-5, rtol=1e-5)
    assert (tagger(seen)[0] - tagger(seen)[1]).abs().max() > 1e-3, "other pictures have other scores"


@each_kind
def test_photos_of_any_size_are_squashed_and_broken_ones_named(write, tmp_path):
    tagger = built(write(tmp_path))
    assert tagger.pixels(jpeg(), picture(), "key a").shape == (3, tagger.image_size, tagger.image_size)
    with pytest.raises(BadSampleError, match=r"key a, 0\.jpg: found bytes that do not decode"):
        tagger.pixels(jpeg()[:100], picture(), "key a")


def test_names_of_ram_are_given_in_lower_case_as_lion_writes_them(tmp_path):
    assert built(write_ram(tmp_path)).vocabulary.names == tuple(name.lower() for name in NAMES)


def test_tags_without_thresholds_are_refused_and_scores_are_not(tmp_path):
    tagger = built(write_open_clip(tmp_path, thresholds=None))
    seen = pictures(1, tagger.image_size)
    assert tagger(seen).shape == (1, len(NAMES))
    with pytest.raises(ConfigurationError, match="calibrate"):
        tagger.tags(seen)


@pytest.mark.parametrize("device", ["cuda:99", "abacus"])
def test_a_device_that_is_not_there_is_told(device, tmp_path):
    with pytest.raises(ConfigurationError, match=f"device: found {device} .*expected a device of this machine"):
        build_tagger(read_tagger(write_ram(tmp_path)), device)


def test_a_file_that_configures_no_tagger_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="no file"):
        read_tagger(tmp_path / "none.yaml")
    (tmp_path / "other.yaml").write_text("class_path: triscope.components.soft_prompt.SoftPrompt\ninit_args: {init_std: 2}\n")
    with pytest.raises(ConfigurationError, match=r"other\.yaml.*expected class_path and init_args of a tagger"):
        read_tagger(tmp_path / "other.yaml")
    file = write_ram(tmp_path)
    file.write_text(file.read_text().replace("names:", "nmaes:"))
    with pytest.raises(ConfigurationError, match="nmaes"):
        read_tagger(file)
