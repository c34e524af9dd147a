"""Visual Commonsense Reasoning (Zellers et al., 2019; https://visualcommonsense.com). Non-commercial research licence.

Texts are lists of words in which a list of numbers, from 0, stands for objects of the picture. The `*_orig` strings say the
same with numbers from 1: they are compared, so that an off-by-one cannot pass.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from data_pipelines.reading import keyed, read_json, read_lines
from data_pipelines.sources.source import Draft, Entry, Picture, PictureFolders, Source, key_of
from data_pipelines.table import Table
from triscope.data.boxes import Box, BoxSpace
from triscope.data.errors import TriscopeError
from triscope.data.sample import Level, Turn

ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
EVERYONE = "everyone"
_SPACE_BEFORE = re.compile(r" (?=[?.,!;:%)]|'(?:s|re|ve|ll|d|m|t)\b|n't\b)")

Words = list[str | list[int]]


@dataclass(frozen=True)
class Vcr(Source):
    """Answer a question about people and things, then say why (`*.jsonl`): objects are regions in questions, words in answers.

    The four published choices are the candidates of each turn.

    Args:
        annotations: `train.jsonl` or `val.jsonl`; `test.jsonl` has no answers.
        images: `vcr1images`, with the boxes of each picture beside it.
    """

    name = "vcr"
    annotations: Path
    images: tuple[Path, ...]

    def entries(self) -> Iterator[Entry]:
        files = PictureFolders(self.images)
        for image, records in Table(keyed(read_lines(self.annotations), "img_fn", self.annotations)).groups():
            boxes = str(files.find(records[0]["metadata_fn"]))
            records = [record | {"metadata": boxes} for record in records]
            yield Entry(key_of(self.name, image), (Picture(files.find(image)),), tuple(records))

    def ask(self, entry: Entry, draft: Draft) -> None:
        path = Path(entry.records[0]["metadata"])
        try:
            boxes = read_json(path)["boxes"]
        except TriscopeError as error:
            draft.fault("boxes_missing", str(error))
            return
        regions: dict[int, str] = {}
        for record in entry.records:
            question = f"question {record['annot_id']}"
            if "answer_label" not in record or "rationale_label" not in record:
                draft.drop("question_without_answer", question)
            elif len(boxes) != len(record["objects"]):
                draft.fault("boxes_unequal", f"{question}: {len(boxes)} boxes, {len(record['objects'])} objects")
            else:
                _talk(record, boxes, regions, question, draft)


@dataclass
class _Speaker:
    """Says what words mean: objects as regions in questions, in plain words in answers.

    Args:
        objects: class of each.
        mentioned: objects in the order in which they were first named.
    """

    objects: list[str]
    mentioned: list[int] = field(default_factory=list)

    def question(self, words: Words, regions: dict[int, str]) -> str:
        """A question: `the person in <region:1> and the person in <region:2>`."""
        self._mention(words)
        everyone = _listed([regions[number] for number in self.people if number in regions])
        named = {EVERYONE: f"{EVERYONE} ({everyone})"} if everyone else {}
        return _joined(
            named.get(item.lower(), item)
            if isinstance(item, str)
            else _listed([f"the {self.objects[number]} in {regions[number]}" for number in item])
            for item in words
        )

    def answer(self, words: Words) -> str:
        """An answer: `the first person and the dog`."""
        self._mention(words)
        return _joined(item if isinstance(item, str) else _listed(list(map(self._name, item))) for item in words)

    @property
    def people(self) -> list[int]:
        """Numbers of the persons: what "everyone" means."""
        return [number for number, kind in enumerate(self.objects) if kind == "person"]

    def _mention(self, words: Words) -> None:
        self.mentioned += [number for number in objects_in(words) if number not in self.mentioned]

    def _name(self, number: int) -> str:
        """`the person` if it is the only one of its kind in the picture, else `the first person` in order of mention."""
        kind = self.objects[number]
        if self.objects.count(kind) == 1:
            return f"the {kind}"
        same = [other for other in dict.fromkeys(self.mentioned) if self.objects[other] == kind]
        return f"the {ORDINALS[same.index(number)]} {kind}"


def objects_in(words: Words) -> list[int]:
    """Numbers of the objects that a text names, in reading order, each once."""
    return list(dict.fromkeys(number for item in words if isinstance(item, list) for number in item))


def agrees(words: Words, original: str) -> bool:
    """Whether a text's numbers, from 0, are those of its original, from 1, which may hold other numbers besides."""
    numbers = iter(int(number) for number in re.findall(r"\d+", original))
    return all(number + 1 in numbers for item in words if isinstance(item, list) for number in item)


def _talk(record: dict, boxes: list, regions: dict[int, str], question: str, draft: Draft) -> None:
    """Add the two turns of a record, or count why not."""
    answers, rationales = record["answer_choices"], record["rationale_choices"]
    spoken = {
        "question": record["question"],
        "answer": answers[record["answer_label"]],
        "rationale": rationales[record["rationale_label"]],
    }
    for name, words in spoken.items():
        original = record.get(f"{name}_orig")
        if isinstance(original, str) and not agrees(words, original):
            draft.fault("numbers_disagree", f"{question}: {name} {words}, original {original!r}")
            return
    named = [number for words in (record["question"], *answers, *rationales) for number in objects_in(words)]
    if missing := sorted({number for number in named if not 0 <= number < len(record["objects"])}):
        draft.fault("object_missing", f"{question}: objects {missing} of {len(record['objects'])}")
        return
    speaker = _Speaker(record["objects"])
    pointed = objects_in(record["question"])
    if any(isinstance(item, str) and item.lower() == EVERYONE for item in record["question"]):
        pointed += speaker.people
    for number in pointed:
        if number not in regions:
            x1, y1, x2, y2 = map(float, boxes[number][:4])
            box = draft.box(Box(x1, y1, x2, y2, BoxSpace.PIXELS), f"{question}, object {number}")
            if box is None:
                return
            regions[number] = draft.region(box)
    try:
        prompt = speaker.question(record["question"], regions)
        first = _turn(prompt, answers, record["answer_label"], speaker)
        second = _turn(draft.word("why"), rationales, record["rationale_label"], speaker)
    except IndexError:
        draft.drop("too_many_of_a_kind", question)
        return
    draft.talk("answer_and_reason", Level.REGION if pointed else Level.IMAGE, [first, second])


def _turn(prompt: str, choices: list[Words], label: int, speaker: _Speaker) -> Turn:
    """A turn with its right answer; what the other choices mention is not remembered."""
    answer = speaker.answer(choices[label])
    others = [_Speaker(speaker.objects, [*speaker.mentioned]).answer(choice) for choice in choices]
    return Turn(prompt, (answer,), tuple(others))


def _listed(names: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def _joined(parts: Iterator[str]) -> str:
    text = _SPACE_BEFORE.sub("", " ".join(" ".join(parts).split()))
    return text[:1].upper() + text[1:]
