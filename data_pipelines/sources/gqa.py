"""GQA (Hudson and Manning, 2019; https://cs.stanford.edu/people/dorarad/gqa/download.html). Annotations CC BY 4.0.

Questions are joined with the scene graphs: where a question names an object of the graph, it points at its region
(PVIT's strategy a).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data_pipelines.reading import field, read_members
from data_pipelines.sources.source import Draft, Entry, Picture, PictureFolders, Source, box_from_xywh, clean, key_of
from data_pipelines.sources.visual_genome import ROUNDING_PIXELS
from data_pipelines.table import Table
from triscope.data.sample import Level, Turn

TURNS = 8  # of a dialogue; a picture with more questions has several dialogues
ARTICLES = ("the", "a", "an", "this", "that", "these", "those")
_SPAN = re.compile(r"(\d+)(?::(\d+)(?::1)?)?")  # its documentation allows a step, like a slice of Python
_PUNCTUATION = re.compile(r"(?:'s|[?.,!;:])*$")


@dataclass(frozen=True)
class Gqa(Source):
    """Dialogues about regions: GQA's questions, whose words for an object point at its box (questions and scene graphs).

    Half of the time the noun stays (`the chair in <region:1>`), half of the time it gives way to `object`. Left out and
    counted: questions that point at nothing, and those where one word stands for several objects.

    Args:
        questions: `*_questions.json`; of `train_all`, one of its ten files.
        scene_graphs: `train_sceneGraphs.json` or `val_sceneGraphs.json`.
        images: folders with the pictures.
        turns: questions of a dialogue; 1 to be scored.
    """

    name = "gqa"
    questions: Path
    scene_graphs: Path
    images: tuple[Path, ...]
    turns: int = TURNS

    def entries(self) -> Iterator[Entry]:
        files = PictureFolders(self.images)
        graphs = Table(read_members(self.scene_graphs))
        for image_id, asked in _questions(self.questions).groups():
            (graph, *_) = graphs[image_id] or [None]
            size = (graph["width"], graph["height"]) if graph else None
            records = tuple(question | {"objects": graph and graph["objects"]} for question in asked)
            yield Entry(key_of(self.name, image_id), (Picture(files.find(f"{image_id}.jpg"), size),), records)

    def ask(self, entry: Entry, draft: Draft) -> None:
        regions: dict[str, str] = {}
        turns = [turn for record in entry.records if (turn := _turn(record, draft, regions)) is not None]
        for start in range(0, len(turns), self.turns):
            draft.talk("region_question", Level.REGION, turns[start : start + self.turns])


@dataclass(frozen=True)
class GqaQuestions(Source):
    """Answer GQA's questions about whole pictures (`testdev_balanced_questions.json`); scored by exact match.

    Only balanced questions are asked, as the official accuracy counts them.

    Args:
        questions: `*_questions.json`.
        images: folders with the pictures.
    """

    name = "gqa_questions"
    questions: Path
    images: tuple[Path, ...]

    def entries(self) -> Iterator[Entry]:
        files = PictureFolders(self.images)
        for image_id, asked in _questions(self.questions).groups():
            yield Entry(key_of(self.name, image_id), (Picture(files.find(f"{image_id}.jpg")),), tuple(asked))

    def ask(self, entry: Entry, draft: Draft) -> None:
        for record in entry.records:
            if record.get("isBalanced", True):
                draft.quote("exact_question", record["question"], [record.get("answer") or ""], id=record["id"])
            else:
                draft.drop("question_not_balanced", f"question {record['id']}")


def _questions(path: Path) -> Table:
    """Questions with their numbers, by picture."""
    return Table(
        (field(question, "imageId", f"{path}, question {number}"), question | {"id": number})
        for number, question in read_members(path)
    )


def _turn(record: dict, draft: Draft, regions: dict[str, str]) -> Turn | None:
    """A question whose spans point at regions, and its short answer; none, and counted, if it cannot be asked."""
    question = f"question {record['id']}"
    spans = (record.get("annotations") or {}).get("question") or {}
    answer = clean(record.get("answer") or "")
    if not answer:
        draft.drop("question_without_answer", question)
    elif not spans:
        draft.drop("question_without_region", question)
    elif any("," in number for number in spans.values()):
        draft.drop("span_of_several_objects", question)
    elif record["objects"] is None:
        draft.fault("scene_graph_missing", question)
    elif missing := [number for number in spans.values() if number not in record["objects"]]:
        draft.fault("object_missing", f"{question}: objects {missing}")
    elif all([_marked(number, record["objects"][number], question, draft, regions) for number in spans.values()]):
        prompt = point(record["question"], spans, regions, keep_noun=draft.rng.random() < 0.5)
        if prompt is None:
            draft.fault("span_broken", f"{question}: spans {sorted(spans)} of {record['question']!r}")
            return None
        return Turn(prompt, (answer,), id=record["id"])
    return None


def point(question: str, spans: dict[str, str], regions: dict[str, str], keep_noun: bool) -> str | None:
    """A question with its words for objects pointing at regions.

    Args:
        question: as published.
        spans: object by place: the number of a word, from 0, or `first:end`, words being parted by blanks.
        regions: marker by object.
        keep_noun: whether the words stay before the region or give way to `object`.

    Returns:
        None if a span lies outside the question or two overlap.
    """
    words = question.split()
    end_before = len(words) + 1
    for start, end, number in sorted(((*_bounds(span), number) for span, number in spans.items()), reverse=True):
        if not 0 <= start < end <= min(len(words), end_before):
            return None
        end_before = start
        *before, last = words[start:end]
        punctuation = _PUNCTUATION.search(last)
        assert punctuation is not None  # it matches nothing at least
        noun = " ".join([*before, last[: punctuation.start()]]) if keep_noun else "object"
        article = "" if keep_noun or (start and words[start - 1].lower() in ARTICLES) else "the "
        words[start:end] = [f"{article}{noun} in {regions[number]}{punctuation[0]}"]
    return clean(" ".join(words))


def _bounds(span: str) -> tuple[int, int]:
    """Its first word and the one behind its last; nothing between them for what names no words that stand together."""
    found = _SPAN.fullmatch(span)
    if found is None:
        return 0, 0
    first = int(found[1])
    return first, int(found[2]) if found[2] else first + 1


def _marked(number: str, thing: dict, question: str, draft: Draft, regions: dict[str, str]) -> bool:
    """Give an object its region, the same in all questions; not if its box is unusable."""
    if number not in regions:
        numbers = (thing[name] for name in "xywh")
        box = draft.box(box_from_xywh(numbers), f"{question}, object {number}", rounding=ROUNDING_PIXELS)
        if box is None:
            return False
        regions[number] = draft.region(box)
    return True
