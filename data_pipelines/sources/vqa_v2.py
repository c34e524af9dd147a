"""VQA v2 (https://visualqa.org/download.html): questions about COCO pictures, ten answers each. CC BY 4.0."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data_pipelines.reading import keyed, read_list
from data_pipelines.sources.source import Draft, Entry, Picture, PictureFolders, Source, key_of
from data_pipelines.table import Table
from triscope.data.sample import Level


@dataclass(frozen=True)
class VqaV2(Source):
    """Answer questions about COCO pictures.

    The picture's file follows from its COCO number. The ten answers are the references, as the VQA accuracy needs them;
    the one given most often stands first.

    Args:
        questions: `v2_OpenEnded_*_questions.json`.
        annotations: `v2_mscoco_*_annotations.json`.
        images: folders with the COCO pictures, named as in 2014 or in 2017.
    """

    name = "vqa_v2"
    questions: Path
    annotations: Path
    images: tuple[Path, ...]

    def entries(self) -> Iterator[Entry]:
        files = PictureFolders(self.images)
        questions = Table(keyed(read_list(self.questions, "questions"), "image_id", self.questions))
        answered = Table(keyed(read_list(self.annotations, "annotations"), "question_id", self.annotations))
        for image_id, asked in questions.groups():
            records = (question | {"annotations": answered[question["question_id"]]} for question in asked)
            number = f"{image_id:012d}.jpg"
            path = files.find(number, f"COCO_train2014_{number}", f"COCO_val2014_{number}")
            yield Entry(key_of(self.name, image_id), (Picture(path),), tuple(records))

    def ask(self, entry: Entry, draft: Draft) -> None:
        for record in entry.records:
            question = f"question {record['question_id']}"
            if not record["annotations"]:
                draft.drop("question_without_answer", question)
                continue
            answers = [entry["answer"] for entry in record["annotations"][0]["answers"] if entry["answer"].strip()]
            if not answers or not record["question"].strip():
                draft.drop("empty_answer" if not answers else "empty_question", question)
                continue
            first = record["annotations"][0]["multiple_choice_answer"]
            if first not in answers:  # it is normalised, the ten are as typed
                first = Counter(answers).most_common(1)[0][0]
            answers.remove(first)
            asked = record["question"].strip()
            draft.ask("question", Level.IMAGE, [first, *answers], id=record["question_id"], question=asked)


@dataclass(frozen=True)
class OkVqa(VqaV2):
    """Answer questions that need knowledge (`OpenEnded_mscoco_*_questions.json`, `mscoco_*_annotations.json`).

    OK-VQA (Marino et al., 2019; https://okvqa.allenai.org); its arguments are those of `VqaV2`.
    """

    name = "ok_vqa"
