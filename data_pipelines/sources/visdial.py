"""VisDial 1.0 (Das et al., 2017; https://visualdialog.org/data): ten rounds, a hundred candidates each. CC BY 4.0."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data_pipelines.reading import field, read_items, read_list
from data_pipelines.sources.source import Draft, Entry, Picture, PictureFolders, Source, clean, key_of
from data_pipelines.table import Table

FOLDERS = ("VisualDialog_val2018", "VisualDialog_test2018", "COCO_train2014", "COCO_val2014")  # what names begin with


@dataclass(frozen=True)
class VisDial(Source):
    """Go on with a dialogue about a picture: rank a hundred answers (`visdial_1.0_*.json`).

    Each round is a question of its own, behind the picture's caption and the rounds before it with their answers as given.

    Args:
        annotations: the file.
        images: folders with the pictures.
        relevance: `visdial_1.0_*_dense_annotations.json`: of a round of each dialogue, how many of those asked find each of the
            hundred answers right; for the NDCG.
    """

    name = "visdial"
    annotations: Path
    images: tuple[Path, ...]
    relevance: Path | None = None

    def entries(self) -> Iterator[Entry]:
        files = PictureFolders(self.images)
        judged = Table(_judged(self.relevance) if self.relevance else ())
        questions, answers = (list(read_items(self.annotations, f"data.{name}")) for name in ("questions", "answers"))
        for number, record in enumerate(read_list(self.annotations, "data.dialogs")):
            image = field(record, "image_id", f"{self.annotations}, dialogue {number}")
            names = [f"{folder}_{image:012d}.jpg" for folder in FOLDERS]
            rounds = [_with_texts(told, questions, answers) for told in record["dialog"]]
            (relevance, *_) = judged[image] or [None]
            records = (record["caption"], relevance, *rounds)
            yield Entry(key_of(self.name, image), (Picture(files.find(*names)),), records)

    def ask(self, entry: Entry, draft: Draft) -> None:
        caption, relevance, *rounds = entry.records
        history = [f"{clean(caption).rstrip('.')}."]
        image = draft.key.partition("-")[2]
        if relevance is not None:
            _keep(relevance, rounds, draft)
        for number, told in enumerate(rounds, start=1):
            question = f"{told['question'].rstrip('?')}?"
            if told["answer"] is not None:
                draft.quote("dialogue", " ".join([*history, question]), [told["answer"]], told["options"], f"{image}/{number}")
            else:
                draft.drop("question_without_answer", f"round {number}")
            history += [question, f"{(told['said'] or '').rstrip('.')}."]


def _judged(file: Path) -> Iterator[tuple[int, dict]]:
    """Number of a picture, and which round (from 1) of its dialogue was judged, with the relevance of each candidate."""
    for number, record in enumerate(read_list(file)):
        where = f"{file}, record {number}"
        # The files of the training and the validation set name it differently.
        relevance = record.get("gt_relevance") or field(record, "relevance", where)
        yield field(record, "image_id", where), {"round": field(record, "round_id", where), "of_candidates": relevance}


def _keep(relevance: dict, rounds: list[dict], draft: Draft) -> None:
    """Keep the relevance of a round's candidates with the sample, if each candidate has one."""
    number, judged = relevance["round"], len(relevance["of_candidates"])
    listed = len(rounds[number - 1]["options"]) if 1 <= number <= len(rounds) else 0
    if judged == listed:
        draft.extra["relevance"] = relevance
    else:
        draft.fault("relevance_of_another_list", f"round {number}, {judged} judged of {listed} candidates")


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
