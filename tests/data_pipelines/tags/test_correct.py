"""Corrections by hand are merged as they are told, or refused before anything is written."""

from functools import partial
from pathlib import Path

import pytest

from data_pipelines.__main__ import main
from data_pipelines.engine import in_order
from data_pipelines.tags.correct import correct
from tests.data.tiny import sample, write_shards
from triscope.data.errors import TriscopeError
from triscope.data.shards import ShardSet

HERE = partial(in_order, workers=1)


@pytest.fixture
def source(tmp_path: Path) -> ShardSet:
    samples = [sample(f"s{number}", images=1 + number % 2, tags=["dog", "grass"]) for number in range(5)]
    return write_shards(tmp_path / "source", samples, samples_per_shard=2)


def csv(folder: Path, text: str) -> Path:
    (folder / "corrections.csv").write_text(text)
    return folder / "corrections.csv"


def tags(folder: Path) -> dict[str, list[list[str]]]:
    return {raw.key: [[tag.name for tag in image.tags] for image in raw.parse()[0].images] for raw in ShardSet.open(folder)}


def test_tags_are_added_behind_and_dropped_and_others_stay(source, tmp_path):
    file = csv(tmp_path, 'key,tag,change,image\ns0,dog,drop,\ns0,"cat, black",add,\ns3,leash,add,1\ns3,dog,drop,0\n')
    tally = correct(source, tmp_path / "out", file, HERE)
    assert tags(tmp_path / "out") == {
        "s0": [["grass", "cat, black"]],
        "s1": [["dog", "grass"]] * 2,
        "s2": [["dog", "grass"]],
        "s3": [["grass"], ["dog", "grass", "leash"]],
        "s4": [["dog", "grass"]],
    }
    assert tally["tags"] == 14
    assert tags(str(source.folder))["s0"] == [["dog", "grass"]], "the source stays as it is"


def test_the_number_of_processes_changes_no_byte(source, tmp_path):
    file = csv(tmp_path, "key,tag,change\ns4,dog,drop\n")
    for workers in (1, 2):
        correct(source, tmp_path / str(workers), file, partial(in_order, workers=workers, chunk=1))
    one, two = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("1", "2"))
    assert one == two


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("key,tag,change\ns0,dog,drop\ns9,dog,drop\nt,dog,add\n", r"2 unknown key\(s\): s9 \(line 3\), t \(line 4\)"),
        ("key,tag,change\ns0,cat,drop\n", r"line 2, key 's0': found drop 'cat', with tags dog, grass"),
        ("key,tag,change\ns0,dog,add\n", "expected a tag to add that is missing"),
        ("key,tag,change\ns0,dog,remove\n", "line 2, change: found 'remove'; expected add or drop"),
        ("key,tag,change,image\ns0,dog,drop,1\n", "found image 1; expected 0 to 0"),
        ("key,tag,change,image\ns0,dog,drop,first\n", "line 2, image: found 'first'"),
        ("key,tag,change\ns0,,drop\n", "line 2: found"),
        ("key,tag,change\ns0,cat, black,add\n", "line 2: found .*expected 3 cells. Quote cells that hold commas"),
        ("key,tag\ns0,dog\n", "line 1: found columns key, tag; expected key, tag, change"),
        ("", "found columns none"),
    ],
)
def test_what_cannot_be_merged_is_refused_by_name_before_anything_is_written(source, tmp_path, text, message):
    with pytest.raises(TriscopeError, match=message):
        correct(source, tmp_path / "out", csv(tmp_path, text), HERE)
    assert not (tmp_path / "out").exists()


def test_the_command_merges_a_file(source, tmp_path, capsys):
    file = csv(tmp_path, "key,tag,change\ns0,dog,drop\n")
    out = str(tmp_path / "out")
    assert main(["retag", str(source.folder), "--corrections", str(file), "--out", out, "--workers", "1"]) == 0
    assert "7 pictures in" in capsys.readouterr().out
    assert main(["retag", str(source.folder), "--corrections", str(tmp_path / "no.csv"), "--out", out]) == 1
    assert "no.csv: found no file" in capsys.readouterr().err
