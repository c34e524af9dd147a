"""Calibration turns trusted tags into thresholds that the tagger then uses."""

from functools import partial

import pytest

from data_pipelines.__main__ import main
from data_pipelines.engine import in_order
from data_pipelines.tags.calibrate import calibrate_tagger
from data_pipelines.tags.tag import tag
from tests.data.tiny import sample, write_shards
from tests.tagging.tiny_taggers import NAMES, built, write_open_clip
from triscope.data.errors import ConfigurationError
from triscope.data.shards import ShardSet
from triscope.tagging.tagger import read_tagger

HERE = partial(in_order, workers=1)


def test_thresholds_found_on_a_taggers_own_best_names_give_them_back(tmp_path):
    """Whoever is scored above the middle of all pictures has the name: a truth that thresholds can meet exactly."""
    plain = write_shards(tmp_path / "plain", [sample(f"s{number}") for number in range(20)], samples_per_shard=8)
    scorer = built(write_open_clip(tmp_path, thresholds=None))
    scores_IK = [scorer(scorer.pixels(contents[0], each.images[0], "")[None])[0].tolist() for each, contents in map(parse, plain)]
    middles = [sorted(scores)[10] - 1e-6 for scores in zip(*scores_IK, strict=True)]
    known = [[n for n, score, middle in zip(NAMES, scores, middles, strict=True) if score > middle] for scores in scores_IK]
    trusted = write_shards(tmp_path / "trusted", [sample(f"s{number}", tags=names) for number, names in enumerate(known)])

    file = write_open_clip(tmp_path)
    found = calibrate_tagger(trusted, tmp_path / "thresholds.txt", read_tagger(file), HERE)
    assert (found.pictures, found.names, found.own) == (20, 5, 5)
    assert "20 pictures, 5 names: 5 with a threshold of their own" in found.text()
    tag(plain, tmp_path / "tagged", read_tagger(file), HERE)
    given = [[each.name for each in raw.parse()[0].images[0].tags] for raw in ShardSet.open(tmp_path / "tagged")]
    assert given == known


def parse(raw):
    return raw.parse()


def test_tags_that_the_vocabulary_lacks_are_counted_and_none_of_its_own_is_refused(tmp_path):
    file = read_tagger(write_open_clip(tmp_path))
    some = write_shards(tmp_path / "some", [sample(f"s{number}", tags=["cat", "yeti"]) for number in range(4)])
    found = calibrate_tagger(some, tmp_path / "new.txt", file, HERE)
    assert found.foreign == {"yeti": 4}
    assert "known tags outside the vocabulary: 4 (yeti ...)" in found.text()
    none = write_shards(tmp_path / "none", [sample("s", tags=["yeti"])])
    with pytest.raises(ConfigurationError, match="found tags such as yeti; expected tags of the tagger's vocabulary"):
        calibrate_tagger(none, tmp_path / "not.txt", file, HERE)
    assert not (tmp_path / "not.txt").exists()


def test_the_command_writes_a_line_for_each_name(tmp_path, capsys):
    file = write_open_clip(tmp_path, thresholds=None)
    write_shards(tmp_path / "some", [sample(f"s{number}", tags=["cat"] * (number % 2)) for number in range(6)])
    arguments = ["--tagger", str(file), "--out", str(tmp_path / "mine.txt"), "--workers", "1"]
    assert main(["calibrate", str(tmp_path / "some"), *arguments]) == 0
    assert "on held-out halves: precision" in capsys.readouterr().out
    assert len((tmp_path / "mine.txt").read_text().splitlines()) == len(NAMES)
