"""VisDial 1.0 (Das et al., 2017; https://visualdialog.org/data): ten rounds, a hundred candidates each. CC BY 4.0."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data_pipelines.reading import field, read_items, read_list
from data_pipelines.sources.source import Draft, Entry, Picture, PictureFolders, Source, clean, key_of

FOLDERS = ("VisualDialog_val2018", "VisualDialog_test2018", "COCO_train2014", "COCO_val2014")  # what names begin with


@dataclass(frozen=True)
class VisDial(Source):
    """Go on with a dialogue about a picture: rank a hundred answers (`visdial_1.0_*.json`).

    Each round is a question of its own, behind the picture's caption and the rounds before it with their answers as given.

    Args:
        annotations: the file.
        images: folders with the pictures.
    """

    name = "visdial"
    annotations: Path
    images: tuple[Path, ...]

    def entries(self) -> Iterator[Entry]:
        files = PictureFolders(self.images)
        questions, answers = (list(read_items(self.annotations, f"data.{name}")) for name in ("questions", "answers"))
        for number, record in enumerate(read_list(self.annotations, "data.dialogs")):
            image = field(record, "image_id", f"{self.annotations}, dialogue {number}")
            names = [f"{folder}_{image:012d}.jpg" for folder in FOLDERS]
            rounds = [_with_texts(told, questions, answers) for told in record["dialog"]]
            records = (record["caption"], *rounds)
            yield Entry(key_of(self.name, image), (Picture(files.find(*names)),), records)

    def ask(self, entry: Entry, draft: Draft) -> None:
        caption, *rounds = entry.records
        history = [f"{clean(caption).rstrip('.')}."]
        image = draft.key.partition("-")[2]
        for number, told in enumerate(rounds, start=1):
            question = f"{told['question'].rstrip('?')}?"
            if told["answer"] is not None:
                draft.quote("dialogue", " ".join([*history, question]), [told["answer"]], told["options"], f"{image}/{number}")
            else:
                draft.drop("question_without_answer", f"round {number}")
            history += [question, f"{(told['said'] or '').rstrip('.')}."]


def _with_texts(told: dict, questions: list[str], answers: list[str]) -> dict:
    """A round whose numbers are replaced by what they stand for."""
    options = [answers[number] for number in told.get("answer_options", ())]
    right, said = told.get("gt_index"), told.get("answer")
    return {
        "question": questions[told["question"]],
        "said": None if said is None else answers[said],
        "options": options,
        "answer": None if right is None or not options else options[right],
    }
