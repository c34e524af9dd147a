"""Spot-the-Diff and CLEVR-Change: what is different in the second of two pictures."""

from pathlib import Path

import pytest

from data_pipelines.sources.clevr_change import ClevrChange
from data_pipelines.sources.spot_the_diff import SpotTheDiff
from tests.data_pipelines.sources.published import converted, dropped, photo, turns, written
from triscope.data.errors import TriscopeError


def test_all_that_changed_between_two_frames_is_one_answer(tmp_path: Path) -> None:
    for name in ("12.png", "12_2.png", "13.png"):
        photo(tmp_path / name)
    records = [
        {"img_id": "12", "sentences": ["a car left", " a man came "]},
        {"img_id": "12", "sentences": []},
        {"img_id": "13", "sentences": ["x"]},
    ]
    pair, single = converted(SpotTheDiff(written(tmp_path / "train.json", records), (tmp_path,)))
    ((prompt, answer),) = turns(pair)
    assert answer == "a car left a man came"
    assert "<image:1>" in prompt and "<image:2>" in prompt
    assert dropped(pair) == [("empty_answer", None)]
    assert dropped(single) == [("picture_missing", "sample")]


def clevr(folder: Path, split: str = "train") -> ClevrChange:
    for kind, place in (("default", "images"), ("semantic", "sc_images"), ("nonsemantic", "nsc_images")):
        for number in (0, 1):
            photo(folder / place / f"CLEVR_{kind}_{number:06d}.png", color="red" if kind == "semantic" else "blue")
    return ClevrChange(
        written(folder / "change.json", {f"CLEVR_default_{n:06d}.png": ["the cube moved", "cube moved"] for n in (0, 1)}),
        written(folder / "no_change.json", {f"CLEVR_nonsemantic_{n:06d}.png": ["nothing changed"] for n in (0, 1)}),
        written(folder / "splits.json", {"train": [1], "val": [0], "test": []}),
        tuple(folder / place for place in ("images", "sc_images", "nsc_images")),
        split,
    )


def test_a_change_and_its_distractor_are_two_samples_of_the_split(tmp_path: Path) -> None:
    changed, same = converted(clevr(tmp_path))
    assert changed.sample is not None and same.sample is not None
    assert (changed.sample.key, same.sample.key) == ("clevr_change-semantic-000001", "clevr_change-nonsemantic-000001")
    assert changed.sample.conversations[0].turns[0].answers == ("the cube moved", "cube moved")
    assert turns(same)[0][1] == "nothing changed"
    assert changed.images[1] == (tmp_path / "sc_images" / "CLEVR_semantic_000001.png").read_bytes()


def test_an_unknown_split_is_told(tmp_path: Path) -> None:
    with pytest.raises(TriscopeError, match="numbers under 'dev'"):
        list(clevr(tmp_path, "dev").entries())
