"""POPE as released and built from boxes, MME: what is asked, and that half of the answers are yes."""

from collections import Counter
from pathlib import Path

import pytest

from data_pipelines.convert import convert
from data_pipelines.sources.coco import CocoInstances
from data_pipelines.sources.yes_no import SETTINGS, Mme, Pope, PopeFromBoxes
from tests.conftest import shared
from tests.data_pipelines.sources.published import converted, dropped, lines, photo, turns
from triscope.data.errors import TriscopeError
from triscope.data.shards import ShardSet


def test_pope_as_released_is_a_sample_a_picture(tmp_path: Path) -> None:
    photo(tmp_path / "COCO_val2014_000000016631.jpg")
    picture, question = "COCO_val2014_000000016631.jpg", "Is there a person in the image?"
    record = {"question_id": 1, "image": picture, "text": question, "label": "yes"}
    other = record | {"question_id": 2, "text": "Is there a boat in the image?", "label": "no"}
    bad = record | {"question_id": 3, "label": "maybe"}
    (made,) = converted(Pope(lines(tmp_path / "pope.json", [record, other, bad]), (tmp_path,)))
    assert turns(made) == [("Is there a person in the image?", "yes"), ("Is there a boat in the image?", "no")]
    assert made.sample is not None and made.sample.conversations[1].turns[0].id == "2"
    assert dropped(made) == [("bad_label", "record")]


@pytest.fixture(scope="module")
def boxed(tmp_path_factory) -> Path:
    folder = shared("coco_sample")
    source = CocoInstances(folder / "annotations" / "instances.json", (folder / "images" / "train2017",))
    out = tmp_path_factory.mktemp("boxed") / "coco"
    convert(source, out)
    return out


@pytest.mark.parametrize("setting", SETTINGS)
def test_any_boxed_set_gives_a_pope(boxed: Path, tmp_path: Path, setting: str) -> None:
    convert(PopeFromBoxes(boxed, setting, pictures=20, present=2), tmp_path / "pope")
    objects = {raw.key: {thing["name"] for thing in raw.parse()[0].extra["objects"]} for raw in ShardSet.open(boxed)}
    answers: Counter[str] = Counter()
    absent = []
    for raw in ShardSet.open(tmp_path / "pope"):
        sample, _ = raw.parse()
        shown = objects[sample.key.removeprefix(f"pope_from_boxes-{setting}-")]
        for talk in sample.conversations:
            name = talk.turns[0].prompt.removeprefix("Is there a").removeprefix("n").removesuffix(" in the image?").strip()
            answers[talk.turns[0].answers[0]] += 1
            assert (name in shown) == (talk.turns[0].answers[0] == "yes")
            absent += [] if name in shown else [name]
    assert answers["yes"] == answers["no"] >= 30
    frequency = Counter(name for names in objects.values() for name in names)
    commonest = [name for name, _ in frequency.most_common(6)]
    share = sum(name in commonest for name in absent) / len(absent)
    assert share > 0.6 if setting == "popular" else share < 0.5 or setting == "adversarial"


def test_what_cannot_be_built_is_told(boxed: Path) -> None:
    with pytest.raises(TriscopeError, match="--setting"):
        list(PopeFromBoxes(boxed, "usual").entries())
    with pytest.raises(TriscopeError, match="tell 99 objects"):
        list(PopeFromBoxes(boxed, present=99).entries())


@pytest.mark.parametrize("folders", [("", ""), ("images", "questions_answers_YN")], ids=["flat", "in folders"])
def test_mme_is_two_questions_a_picture(tmp_path: Path, folders: tuple[str, str]) -> None:
    pictures, texts = (tmp_path / "posters" / folder for folder in folders)
    photo(pictures / "tt0001.jpg")
    texts.mkdir(parents=True, exist_ok=True)
    (texts / "tt0001.txt").write_text("Is this A? Please answer yes or no.\tYes\nIs this B? Please answer yes or no.\tNo\n")
    (made,) = converted(Mme(tmp_path))
    assert [answer for _, answer in turns(made)] == ["yes", "no"]
    assert made.sample is not None and made.sample.extra == {"category": "posters"}
    assert made.sample.conversations[1].turns[0].id == "posters/tt0001.jpg/1"
