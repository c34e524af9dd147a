"""Tagging changes tags alone, gives the same bytes by every engine, and goes on where it was cut off."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from data_pipelines.__main__ import main
from data_pipelines.engine import in_order, in_order_on_ray
from data_pipelines.tags.tag import picture_pixels, tag
from tests.data.tiny import jpeg, sample, write_shards
from tests.tagging.tiny_taggers import built, write_open_clip, write_ram
from triscope.data.errors import BadSampleError, BadShardError, ConfigurationError
from triscope.data.sample import Sample
from triscope.data.shard_writer import ShardWriter
from triscope.data.shards import ShardSet
from triscope.tagging.tagger import read_tagger

HERE = partial(in_order, workers=1)


@pytest.fixture
def source(tmp_path: Path) -> ShardSet:
    """Three shards: pictures of several shades, some samples with two of them or none, all wrongly tagged."""
    images = [1, 2, 0, 1, 1, 1, 2, 1]
    samples = [sample(f"s{number}", images=count, tags=["nonsense"]) for number, count in enumerate(images)]
    return write_shards(tmp_path / "source", samples, samples_per_shard=3)


@pytest.fixture
def tagger(source: ShardSet, tmp_path: Path) -> dict:
    """One that gives each picture about half of the names: thresholds are in the middle of the scores."""
    scorer = built(write_ram(tmp_path))
    pixels = [pixels_CHW for packed in parsed(source) for pixels_CHW in picture_pixels(scorer, packed)]
    middles = scorer(torch.stack(pixels)).quantile(0.5, dim=0) + 1e-4
    return read_tagger(write_ram(tmp_path, thresholds=tuple(middles.tolist())))


def parsed(shards: ShardSet) -> list[tuple[Sample, list[bytes]]]:
    return [raw.parse() for raw in shards]


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_every_picture_gets_what_the_tagger_gives_it_and_nothing_else_changes(source, tagger, tmp_path):
    tally = tag(source, tmp_path / "out", tagger, HERE, samples_per_batch=2)
    alone = built(tmp_path / "ram.yaml")
    tagged = ShardSet.open(tmp_path / "out")
    assert tagged.counts == source.counts
    assert [shard.samples for shard in tagged.shards] == [3, 3, 2]
    seen = 0
    for (old, old_pictures), (new, new_pictures) in zip(parsed(source), parsed(tagged), strict=True):
        assert new_pictures == old_pictures
        assert replace(new, images=()) == replace(old, images=())
        for image, picture in zip(new.images, new_pictures, strict=True):
            (expected,) = alone.tags(alone.pixels(picture, image, "here")[None])
            assert [each.name for each in image.tags] == [each.name for each in expected]
            assert [each.score for each in image.tags] == pytest.approx([each.score for each in expected], abs=2e-4)
            seen += len(image.tags)
    assert (tally["pictures"], tally["tags"]) == (9, seen)
    assert 0 < seen < 45, "of five names a picture, some are given"


@pytest.mark.parametrize("engine", ["two processes", "ray"])
def test_the_engine_changes_no_byte(engine, source, tagger, tmp_path, request):
    if engine == "ray":
        request.getfixturevalue("local_ray")
        other = partial(in_order_on_ray, workers=2)
    else:
        other = partial(in_order, workers=2, chunk=1)
    tag(source, tmp_path / "here", tagger, HERE)
    tag(source, tmp_path / "there", tagger, other)
    assert content(tmp_path / "there") == content(tmp_path / "here")


def test_a_run_that_was_cut_off_goes_on_with_the_shards_that_are_missing(source, tagger, tmp_path):
    tag(source, tmp_path / "whole", tagger, HERE)

    class CutOffError(Exception):
        pass

    def one_shard_and_no_more(function, items):
        yield function(next(iter(items)))
        raise CutOffError

    with pytest.raises(CutOffError):
        tag(source, tmp_path / "out", tagger, one_shard_and_no_more)
    with pytest.raises(BadShardError, match=r"no index\.json"):
        ShardSet.open(tmp_path / "out")
    first = tmp_path / "out" / "shard-000000.tar"
    written = first.stat().st_mtime_ns
    tag(source, tmp_path / "out", tagger, HERE)
    assert first.stat().st_mtime_ns == written, "it is not done again"
    assert content(tmp_path / "out") == content(tmp_path / "whole")


def test_tags_of_two_origins_are_never_mixed(source, tagger, tmp_path):
    tag(source, tmp_path / "out", tagger, HERE)
    thresholds = tmp_path / "thresholds.txt"
    thresholds.write_text("0.6\n" * 5)
    with pytest.raises(BadShardError, match=r"tags\.json, files: found .*expected .*as asked for now"):
        tag(source, tmp_path / "out", tagger, HERE)
    with pytest.raises(BadShardError, match="another folder to write to"):
        tag(source, Path(str(source.folder)), tagger, HERE)
    with pytest.raises(BadShardError, match="an empty folder"):
        tag(source, tmp_path, tagger, HERE)


def test_a_picture_that_does_not_decode_is_named_and_its_shard_is_not_written(tagger, tmp_path):
    with ShardWriter(tmp_path / "broken") as writer:
        writer.write(sample("good"), [jpeg()])
        writer.write(sample("bad"), [jpeg()[:200]])
    with pytest.raises(BadSampleError, match=r"sample 'bad', 0\.jpg: found bytes that do not decode"):
        tag(ShardSet.open(tmp_path / "broken"), tmp_path / "out", tagger, HERE)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["tags.json"]


def test_the_command_says_what_it_gave(source, tagger, tmp_path, capsys):
    out = str(tmp_path / "out")
    assert main(["tag", str(source.folder), "--tagger", str(tmp_path / "ram.yaml"), "--out", out, "--workers", "1"]) == 0
    assert f"9 pictures in {out}, " in capsys.readouterr().out
    assert main(["lint", out, "--workers", "1"]) == 0
    assert set(json.loads((tmp_path / "out" / "tags.json").read_text())) == {"source", "tagger", "samples_per_batch", "files"}


def test_the_address_of_a_cluster_needs_the_engine_that_goes_there(source, tagger, tmp_path, capsys):
    options = ("--tagger", str(tmp_path / "ram.yaml"), "--out", str(tmp_path / "out"), "--address", "10.0.0.1:6379")
    assert main(["tag", str(source.folder), *options]) == 1
    assert "--address: found 10.0.0.1:6379; expected --engine ray" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_tagger_without_thresholds_tags_nothing(source, tmp_path):
    tagger = read_tagger(write_open_clip(tmp_path, thresholds=None))
    with pytest.raises(ConfigurationError, match="a threshold for each name"):
        tag(source, tmp_path / "out", tagger, HERE)
