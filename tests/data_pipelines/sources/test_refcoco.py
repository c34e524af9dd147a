"""RefCOCO: expressions are found and given; a pickle that runs code is refused."""

import pickle
from pathlib import Path

import pytest

from data_pipelines.sources.refcoco import RefCoco, RefCocoG, read_plain_pickle
from tests.data_pipelines.sources.published import converted, dropped, photo, turns, written
from triscope.data.errors import TriscopeError

REF = {
    "ref_id": 0,
    "ann_id": 1719310,
    "image_id": 581857,
    "file_name": "COCO_train2014_000000581857_16.jpg",
    "split": "train",
    "sentences": [{"sent": "the lady with the blue shirt"}, {"sent": " lady in blue "}, {"sent": "lady in blue"}],
}
INSTANCES = {
    "images": [{"id": 581857, "file_name": "COCO_train2014_000000581857.jpg", "width": 427, "height": 640}],
    "annotations": [{"id": 1719310, "bbox": [103.93, 299.99, 134.22, 177.42], "segmentation": [[1, 2]], "image_id": 581857}],
    "categories": [],
}


def source(folder: Path, *refs: dict, kind: type[RefCoco] = RefCoco, name: str = "COCO_train2014_000000581857.jpg") -> RefCoco:
    photo(folder / name, (427, 640))
    (folder / "refs(unc).p").write_bytes(pickle.dumps(list(refs), protocol=2))
    return kind(folder / "refs(unc).p", written(folder / "instances.json", INSTANCES), (folder,))


def test_the_published_example_has_its_known_box(tmp_path: Path) -> None:
    (made,) = converted(source(tmp_path, REF))
    assert made.sample is not None
    assert made.sample.key == "refcoco-581857"
    assert made.sample.regions[0].box.corners == pytest.approx((103.93, 299.99, 238.15, 477.41))
    answers = [answer for _, answer in turns(made)]
    assert answers == ["<region:1>", "<region:1>", "the lady with the blue shirt"]
    assert made.sample.conversations[2].turns[0].answers == ("the lady with the blue shirt", "lady in blue")


def test_an_expression_has_the_number_of_its_sentence(tmp_path: Path) -> None:
    sentences = [sentence | {"sent_id": 40 + number} for number, sentence in enumerate(REF["sentences"])]
    (made,) = converted(source(tmp_path, REF | {"sentences": sentences}))
    assert made.sample is not None
    assert [talk.turns[0].id for talk in made.sample.conversations] == ["0-40", "0-41", "0"]


def test_pictures_are_found_by_their_newer_names_and_the_sets_have_their_own_keys(tmp_path: Path) -> None:
    (made,) = converted(source(tmp_path, REF, kind=RefCocoG, name="000000581857.jpg"))
    assert made.sample is not None and made.sample.key == "refcocog-581857"


def test_other_splits_are_passed_over_and_an_unknown_one_is_told(tmp_path: Path) -> None:
    (made,) = converted(source(tmp_path, REF, REF | {"ref_id": 1, "split": "testA"}))
    assert made.sample is not None and len(made.sample.regions) == 1
    with pytest.raises(TriscopeError, match="no expression of split 'testB'"):
        list(RefCoco(tmp_path / "refs(unc).p", tmp_path / "instances.json", (tmp_path,), "testB").entries())


def test_a_reference_to_a_missing_object_is_a_fault(tmp_path: Path) -> None:
    (made,) = converted(source(tmp_path, REF, REF | {"ref_id": 1, "ann_id": 5}))
    assert dropped(made) == [("object_missing", "record")]
    assert made.drops[0].example == "refcoco-581857, reference 1: annotation 5"


def test_expressions_without_words_are_counted_and_the_others_asked(tmp_path: Path) -> None:
    sentences = [{"sent": " ", "sent_id": 7}, *REF["sentences"]]
    (made,) = converted(source(tmp_path, REF | {"sentences": sentences}))
    assert made.sample is not None and len(made.sample.conversations) == 3
    assert [drop.example for drop in made.drops] == ["refcoco-581857, reference 0, sentence 7"]


def test_a_pickle_of_python_2_is_read(tmp_path: Path) -> None:
    (tmp_path / "old.p").write_bytes(b"(lp0\n(dp1\nS'ref_id'\np2\nI3\nsS'sent'\nS'caf\\xc3\\xa9'\nsa.")
    assert read_plain_pickle(tmp_path / "old.p") == [{"ref_id": 3, "sent": "café"}]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"cos\nsystem\n(S'touch owned'\ntR.", r"asks for os\.system"),
        (pickle.dumps([Path("x")]), r"asks for pathlib"),
        (pickle.dumps([{"ref_id": 1}])[:-4], "no whole pickle"),
        (pickle.dumps({"ref_id": 1}), "another layout"),
    ],
)
def test_a_pickle_that_is_more_than_plain_data_is_refused(tmp_path: Path, content: bytes, found: str) -> None:
    (tmp_path / "refs.p").write_bytes(content)
    with pytest.raises(TriscopeError, match=rf"refs\.p: found .*{found}"):
        read_plain_pickle(tmp_path / "refs.p")
