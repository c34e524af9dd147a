"""GQA: questions joined with scene graphs become dialogues about regions."""

import json
from pathlib import Path

import pytest

from data_pipelines.sources.gqa import TURNS, Gqa, GqaQuestions, point
from data_pipelines.sources.source import convert_entry
from tests.conftest import shared
from tests.data_pipelines.sources.published import converted, dropped, photo, turns, written
from triscope.data.boxes import BoxSpace
from triscope.data.sample import Level

OBJECTS = {
    "11": {"name": "table", "x": 10, "y": 20, "w": 50, "h": 40, "relations": [{"name": "near", "object": "12"}]},
    "12": {"name": "chair", "x": 100, "y": 0, "w": 102, "h": 50, "attributes": [], "relations": []},
    "13": {"name": "lamp", "x": 10, "y": 20, "w": 0, "h": 40, "attributes": [], "relations": []},
}


def asked(question: str, spans: dict[str, str], answer: str = "yes", **fields: object) -> dict:
    return {"imageId": "7", "question": question, "answer": answer, "annotations": {"question": spans}} | fields


def source(folder: Path, questions: list[dict], graphs: dict | None = None) -> Gqa:
    photo(folder / "7.jpg")
    graphs = {"7": {"width": 200, "height": 100, "objects": OBJECTS}} if graphs is None else graphs
    by_id = {f"q{number}": question for number, question in enumerate(questions)}
    return Gqa(written(folder / "questions.json", by_id), written(folder / "graphs.json", graphs), (folder,))


@pytest.mark.parametrize(
    ("question", "spans", "kept", "replaced"),
    [
        ("Is the table round?", {"2": "a"}, "Is the table in R1 round?", "Is the object in R1 round?"),
        ("What is on the table?", {"4": "a"}, "What is on the table in R1?", "What is on the object in R1?"),
        ("Is people's dog big?", {"1:3": "a"}, "Is people's dog in R1 big?", "Is the object in R1 big?"),
        ("Is people's dog big?", {"1:3:1": "a"}, "Is people's dog in R1 big?", "Is the object in R1 big?"),
        ("Is it on the dog?", {"1": "a", "4": "b"}, "Is it in R1 on the dog in R2?", "Is the object in R1 on the object in R2?"),
    ],
)
def test_words_for_an_object_point_at_its_region(question: str, spans: dict, kept: str, replaced: str) -> None:
    regions = {"a": "R1", "b": "R2"}
    assert point(question, spans, regions, keep_noun=True) == kept
    assert point(question, spans, regions, keep_noun=False) == replaced


@pytest.mark.parametrize("spans", [{"9": "a"}, {"3:2": "a"}, {"1:3": "a", "2": "b"}, {"0:3:2": "a"}, {"it": "a"}])
def test_spans_outside_the_question_or_over_each_other_are_refused(spans: dict) -> None:
    assert point("Is the table round?", spans, {"a": "R1", "b": "R2"}, keep_noun=True) is None


def test_questions_about_a_picture_become_dialogues_with_one_region_an_object(tmp_path: Path) -> None:
    questions = [asked("Is the table near the chair?", {"2": "11", "5": "12"})]
    questions += [asked("What is the chair made of?", {"3": "12"}, "wood")] * TURNS
    (made,) = converted(source(tmp_path, questions))
    assert made.sample is not None
    assert [len(talk.turns) for talk in made.sample.conversations] == [TURNS, 1]
    assert all(talk.level == Level.REGION for talk in made.sample.conversations)
    assert [region.box.corners for region in made.sample.regions] == [(10, 20, 60, 60), (100, 0, 200, 50)]  # clipped
    assert "<region:1>" in turns(made)[0][0] and "<region:2>" in turns(made)[0][0]
    assert {answer for _, answer in turns(made)} == {"yes", "wood"}


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        (asked("Is it day?", {}), ("question_without_region", None)),
        (asked("Are the chairs red?", {"2": "11,12"}), ("span_of_several_objects", None)),
        (asked("Is the table red?", {"2": "11"}, ""), ("question_without_answer", None)),
        (asked("Is the table red?", {"2": "99"}), ("object_missing", "record")),
        (asked("Is the lamp red?", {"2": "13"}), ("box_without_area", "record")),
        (asked("Is the table red?", {"7": "11"}), ("span_broken", "record")),
    ],
)
def test_what_cannot_be_asked_is_counted_and_the_rest_is_kept(tmp_path: Path, question: dict, reason: tuple) -> None:
    (made,) = converted(source(tmp_path, [question, asked("Is the table new?", {"2": "11"})]))
    assert dropped(made) == [reason]
    assert made.drops[0].example.startswith("gqa-7, question q0")
    assert len(turns(made)) == 1


def test_questions_without_their_scene_graph_are_faults(tmp_path: Path) -> None:
    (made,) = converted(source(tmp_path, [asked("Is the table red?", {"2": "11"})], {"8": {"objects": {}}}))
    assert dropped(made) == [("scene_graph_missing", "record"), ("nothing_to_ask", None)]


def test_the_published_files_fit(tmp_path: Path) -> None:
    folder = shared("format_samples")
    graphs = folder / "official" / "gqa_val_sceneGraphs.json"
    image, graph = next(iter(json.loads(graphs.read_text()).items()))
    number, thing = next((number, thing) for number, thing in graph["objects"].items() if thing["name"] == "sign")
    photo(tmp_path / f"{image}.jpg", (graph["width"], graph["height"]))
    question = asked("What color is the sign?", {"4": number}, "blue", imageId=image)
    made_up = Gqa(written(tmp_path / "questions.json", {"1": question}), graphs, (tmp_path,))
    (made,) = converted(made_up)
    assert made.sample is not None
    box = made.sample.regions[0].box
    assert box.space == BoxSpace.PIXELS
    assert box.corners == (thing["x"], thing["y"], thing["x"] + thing["w"], thing["y"] + thing["h"])
    official = Gqa(folder / "gqa" / "questions.json", graphs, (folder / "images",))
    (entry,) = official.entries()
    assert dropped(convert_entry(official, 0, entry)) == [("question_without_region", None), ("nothing_to_ask", None)]


def test_balanced_questions_are_asked_about_whole_pictures(tmp_path: Path) -> None:
    photo(tmp_path / "n7.jpg")
    question = {"imageId": "n7", "question": "What is hanging there?", "answer": "picture", "isBalanced": True}
    questions = {"q1": question, "q2": question | {"isBalanced": False}}
    (made,) = converted(GqaQuestions(written(tmp_path / "q.json", questions), (tmp_path,)))
    assert turns(made) == [("What is hanging there?", "picture")]
    assert made.sample is not None and made.sample.conversations[0].turns[0].id == "q1"
    assert dropped(made) == [("question_not_balanced", None)]


def test_questions_to_be_scored_are_dialogues_of_one_turn(tmp_path: Path) -> None:
    read = source(tmp_path, [asked("What is the chair made of?", {"3": "12"}, "wood")] * 2)
    alone = Gqa(read.questions, read.scene_graphs, read.images, turns=1)
    (made,) = converted(alone)
    assert made.sample is not None
    assert [[turn.id for turn in talk.turns] for talk in made.sample.conversations] == [["q0"], ["q1"]]
