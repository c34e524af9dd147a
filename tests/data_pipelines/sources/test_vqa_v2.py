"""VQA v2: questions with ten references."""

import json
from pathlib import Path

from PIL import Image as PillowImage

from data_pipelines.convert import convert
from data_pipelines.sources.source import convert_entry
from data_pipelines.sources.vqa_v2 import VqaV2
from tests.conftest import shared
from triscope.data.shards import ShardSet


def test_questions_about_a_picture_are_one_sample_with_ten_answers_each(tmp_path: Path) -> None:
    folder = shared("coco_sample")
    annotations = folder / "annotations"
    source = VqaV2(
        annotations / "vqa_v2_questions.json",
        annotations / "vqa_v2_annotations.json",
        (folder / "images" / "train2017",),
    )
    report = convert(source, tmp_path / "out")
    assert (report.samples_written, report.questions_written, dict(report.dropped)) == (60, {"question": 94}, {})
    records = json.loads((annotations / "vqa_v2_annotations.json").read_text())["annotations"]
    published = sorted(sorted(answer["answer"] for answer in record["answers"]) for record in records)
    turns = [conversation.turns[0] for raw in ShardSet.open(tmp_path / "out") for conversation in raw.parse()[0].conversations]
    assert sorted(sorted(turn.answers) for turn in turns) == published
    assert sorted(turn.answers[0] for turn in turns) == sorted(record["multiple_choice_answer"] for record in records)


def test_what_cannot_be_asked_is_counted(tmp_path: Path) -> None:
    PillowImage.new("RGB", (20, 20)).save(tmp_path / "COCO_train2014_000000000009.jpg")
    texts = {1: "What?", 2: " ", 3: "Who?", 4: "Where?"}
    questions = [{"question_id": number, "image_id": 9, "question": text} for number, text in texts.items()]
    answers = {1: ["Cat", "Cat", "dog"], 2: ["cat"], 3: [" "]}
    annotations = [
        {"question_id": number, "multiple_choice_answer": "cat", "answers": [{"answer": text} for text in given]}
        for number, given in answers.items()
    ]
    (tmp_path / "q.json").write_text(json.dumps({"questions": questions}))
    (tmp_path / "a.json").write_text(json.dumps({"annotations": annotations}))
    source = VqaV2(tmp_path / "q.json", tmp_path / "a.json", (tmp_path,))
    result = convert_entry(source, 0, next(source.entries()))
    assert [drop.reason for drop in result.drops] == ["empty_question", "empty_answer", "question_without_answer"]
    assert result.sample is not None
    assert result.sample.conversations[0].turns[0].answers == ("Cat", "Cat", "dog")
