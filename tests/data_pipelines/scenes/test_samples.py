"""Samples of composed scenes."""

import io
from collections import Counter
from itertools import islice

import pytest
from PIL import Image

from data_pipelines.scenes.objects import HELD_OUT_NOUNS, TRAINED_NOUNS
from data_pipelines.scenes.samples import album_samples, attribution, scene_samples
from triscope.data.boxes import BoxSpace
from triscope.data.errors import ConfigurationError
from triscope.data.sample import Sample


def as_bytes(made) -> list[tuple[str, list[bytes]]]:
    return [(sample.to_json(), pictures) for sample, pictures in made]


def test_the_same_seed_gives_the_same_bytes_and_another_gives_others():
    assert as_bytes(scene_samples(1, "train", 0, 20)) == as_bytes(scene_samples(1, "train", 0, 20))
    one, other = (as_bytes(scene_samples(seed, "train", 0, 20)) for seed in (1, 2))
    assert not {pictures[0] for _, pictures in one} & {pictures[0] for _, pictures in other}


def test_a_range_is_a_slice_of_the_whole():
    whole = as_bytes(scene_samples(1, "val", 0, 30))
    assert as_bytes(scene_samples(1, "val", 11, 6)) == whole[11:17]


def test_splits_show_other_scenes():
    pictures = [pictures[0] for split in ("train", "val", "test") for _, pictures in scene_samples(1, split, 0, 20)]
    assert len(set(pictures)) == len(pictures)


@pytest.mark.parametrize("split", ["train", "val", "test", "test_objects"])
def test_every_sample_passes_its_check_and_is_read_back(split):
    for sample, (picture,) in scene_samples(0, split, 0, 100):
        sample.check()
        assert Sample.from_json(sample.to_json(), "here").to_json() == sample.to_json()
        opened = Image.open(io.BytesIO(picture))
        assert (opened.format, opened.mode, opened.size) == ("JPEG", "RGB", (224, 224))


@pytest.mark.parametrize(("split", "hidden"), [("train", HELD_OUT_NOUNS), ("test_objects", TRAINED_NOUNS)])
def test_no_word_of_a_split_names_a_noun_of_the_other(split, hidden):
    words = Counter(word for sample, _ in scene_samples(0, split, 0, 300) for word in _words(sample))
    assert not [name for name in hidden.names if words[name] or words[f"{name}s"]]


def test_extra_tells_what_each_region_is():
    for sample, _ in scene_samples(0, "train", 0, 50):
        assert len(sample.extra["objects"]) == len(sample.regions)
        for told, region in zip(sample.extra["objects"], sample.regions, strict=True):
            assert told["box"] == list(region.box.to(BoxSpace.UNIT, 224, 224).corners)


def test_tags_are_missing_and_wrong_at_the_stated_rates():
    present = missing = wrong = 0
    for sample, _ in scene_samples(0, "train", 0, 1200, missing_tags=0.2, wrong_tags=0.3):
        names = {told["name"] for told in sample.extra["objects"]}
        tags = {tag.name for tag in sample.images[0].tags}
        present += len(names)
        missing += len(names - tags)
        wrong += len(tags - names)
    assert abs(missing / present - 0.2) < 0.03
    assert abs(wrong / present - 0.3) < 0.03


def test_without_faults_the_tags_are_the_names_in_the_picture():
    for sample, _ in scene_samples(0, "train", 0, 30, missing_tags=0, wrong_tags=0):
        assert {tag.name for tag in sample.images[0].tags} == {told["name"] for told in sample.extra["objects"]}


def test_an_unknown_split_is_refused():
    with pytest.raises(ConfigurationError, match="one of train, val, test, test_objects"):
        list(islice(scene_samples(0, "dev", 0, 1), 1))


def test_the_attribution_names_the_source_its_licence_and_the_changes():
    assert all(part in attribution() for part in ("OpenMoji", "CC BY-SA 4.0", "Changes:"))


def _words(sample: Sample) -> list[str]:
    texts = [text for talk in sample.conversations for turn in talk.turns for text in (turn.prompt, *turn.answers)]
    texts += [tag.name for tag in sample.images[0].tags]
    return " ".join(texts).translate(str.maketrans("", "", "?.,")).split()


def test_albums_are_samples_of_several_pictures_and_a_range_is_a_slice_of_the_whole():
    whole = as_bytes(album_samples(1, "train", 0, 24))
    assert as_bytes(album_samples(1, "train", 9, 4)) == whole[9:13]
    assert as_bytes(album_samples(2, "train", 9, 4)) != whole[9:13]
    for sample, pictures in album_samples(1, "train", 0, 24):
        sample.check()
        assert len(sample.images) == len(pictures) >= 2
        assert [told["image"] for told in sample.extra["objects"]] == [region.image for region in sample.regions]
        assert len(sample.extra["one_picture"]) == len(sample.conversations)
