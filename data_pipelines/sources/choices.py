"""Questions with a closed list of answers: A-OKVQA, IconQA, ScienceQA.

A-OKVQA (Schwenk et al., 2022) is Apache-2.0, IconQA (Lu et al., 2021) CC BY-NC-SA, ScienceQA (Lu et al., 2022) CC BY-NC-SA 4.0.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data_pipelines.reading import field, keyed, read_json, read_list, read_members
from data_pipelines.sources.source import Draft, Entry, Picture, PictureFolders, Source, key_of
from data_pipelines.table import Table
from triscope.data.errors import TriscopeError

UNKNOWN = "unknown"  # a turn needs a reference; the answers of a hidden test set are not published


@dataclass(frozen=True)
class AOkVqa(Source):
    """Answer a question that needs knowledge, freely and out of four choices (`aokvqa_v1p0_*.json`).

    https://allenai.org/project/a-okvqa

    Args:
        annotations: the file; that of the test set has no answers.
        images: folders with the COCO pictures of 2017.
    """

    name = "a_okvqa"
    annotations: Path
    images: tuple[Path, ...]

    def entries(self) -> Iterator[Entry]:
        files = PictureFolders(self.images)
        for image, records in Table(keyed(read_list(self.annotations), "image_id", self.annotations)).groups():
            yield Entry(key_of(self.name, image), (Picture(files.find(f"{int(image):012d}.jpg")),), tuple(records))

    def ask(self, entry: Entry, draft: Draft) -> None:
        for record in entry.records:
            question, number = record["question"], record["question_id"]
            right = record.get("correct_choice_idx")
            draft.quote("direct_answer", question, record.get("direct_answers") or [UNKNOWN], id=number)
            add_choice(draft, question, record["choices"], right, number)


@dataclass(frozen=True)
class IconQa(Source):
    """Answer a question about an abstract diagram (a folder of `PID/data.json` and `PID/image.png`).

    https://iconqa.github.io: `iconqa/test/choose_txt` has texts to choose from, `iconqa/test/fill_in_blank` one right answer.
    Where pictures are to be chosen from (`choose_img`), nothing is asked.

    Args:
        questions: the folder.
    """

    name = "icon_qa"
    questions: Path

    def entries(self) -> Iterator[Entry]:
        folders = sorted(path.parent for path in self.questions.glob("*/data.json"))
        if not folders:
            raise TriscopeError(str(self.questions), "no PID/data.json", "a folder such as test/choose_txt", "check it")
        for folder in folders:
            record = read_json(folder / "data.json") | {"id": folder.name}
            yield Entry(key_of(self.name, folder.name), (Picture(folder / "image.png"),), (record,))

    def ask(self, entry: Entry, draft: Draft) -> None:
        (record,) = entry.records
        match record["ques_type"]:
            case "choose_txt":
                add_choice(draft, record["question"], record["choices"], record["answer"], record["id"])
            case "fill_in_blank":
                draft.quote("exact_question", record["question"], [str(record["answer"])], id=record["id"])
            case kind:
                draft.drop("pictures_to_choose_from" if kind == "choose_img" else "unknown_question_type", str(kind))


@dataclass(frozen=True)
class ScienceQa(Source):
    """Choose the answer to a question of a school lesson that has a picture (`problems.json`).

    https://scienceqa.github.io. Before the question stands its hint. Questions without a picture are passed over.

    Args:
        annotations: the file.
        images: folders with a folder a problem, such as `images/test`.
        split: `train`, `val` or `test`.
    """

    name = "science_qa"
    annotations: Path
    images: tuple[Path, ...]
    split: str = "test"

    def entries(self) -> Iterator[Entry]:
        files = PictureFolders(self.images)
        for number, record in read_members(self.annotations):
            if field(record, "split", f"{self.annotations}, problem {number}") == self.split and record["image"]:
                path = files.find(f"{number}/{record['image']}", f"{self.split}/{number}/{record['image']}")
                yield Entry(key_of(self.name, number), (Picture(path),), (record | {"id": number},))

    def ask(self, entry: Entry, draft: Draft) -> None:
        (record,) = entry.records
        question = f"{record.get('hint') or ''} {record['question']}"
        add_choice(draft, question, record["choices"], record["answer"], record["id"])
        draft.extra |= {"subject": record.get("subject"), "grade": record.get("grade")}


def add_choice(
    draft: Draft, question: str, choices: list[str], right: int | None, number: str | int, task: str = "choice"
) -> None:
    """Ask a question whose answer is one of a list; a number outside the list is a fault.

    Args:
        draft: of the sample.
        question, choices: as published.
        right: place of the answer, from 0; None where it is not published.
        number: of the question.
        task: under which it is scored.
    """
    choices = [str(choice) for choice in choices]
    if right is not None and not 0 <= right < len(choices):
        draft.fault("answer_outside_choices", f"question {number}: choice {right} of {len(choices)}")
        return
    draft.quote(task, question, [UNKNOWN if right is None else choices[right]], choices, number)
