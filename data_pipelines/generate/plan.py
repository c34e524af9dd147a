"""Which picture is asked for which kinds of dialogues, in a file, so that pictures are read once before anything is paid for."""

import hashlib
import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from data_pipelines.generate.checks import Asked
from data_pipelines.generate.examples import EXAMPLES
from data_pipelines.generate.facts import Facts, read_pictures
from data_pipelines.generate.kinds import KINDS, RULES, Kind
from data_pipelines.language_models import Message, Request
from triscope.data.boxes import Box, BoxSpace
from triscope.data.errors import TriscopeError

MOST_THINGS = 12  # shown of a picture: more distract a language model, and cost


@dataclass(frozen=True)
class Planned:
    """A dialogue that is to be written.

    Args:
        key: of the sample with the picture.
        kind: name of the kind.
        facts: as the model reads them.
        boxes: of the regions in them, in unit space.
        focus: numbers of the regions that the dialogue has to point at, from 1.
        seed: of the answer.
    """

    key: str
    kind: str
    facts: str
    boxes: tuple[tuple[float, float, float, float], ...]
    focus: tuple[int, ...]
    seed: int

    @property
    def asked(self) -> Asked:
        """What an answer is checked against."""
        return Asked(KINDS[self.kind], len(self.boxes), frozenset(self.focus))

    @property
    def request(self) -> Request:
        """What the model is sent: rules, examples as earlier turns of the chat, facts."""
        messages = [Message("system", f"{RULES}\n\n{KINDS[self.kind].told}")]
        for example in EXAMPLES[self.kind]:
            turns = [{"question": question, "answer": answer} for question, answer in example.turns]
            messages.append(Message("user", example.facts.describe()))
            messages.append(Message("assistant", json.dumps({"turns": turns}, ensure_ascii=False)))
        return Request((*messages, Message("user", self.facts)), self.seed)

    def region_boxes(self) -> list[Box]:
        """The boxes of its regions."""
        return [Box(*corners, BoxSpace.UNIT) for corners in self.boxes]


@dataclass
class PlanReport:
    """What a plan covers.

    Args:
        pictures: read.
        pictures_asked: for at least one dialogue.
        dialogues: by kind.
    """

    pictures: int
    pictures_asked: int
    dialogues: Counter[str]


def write_plan(
    path: Path, folders: Sequence[Path], kinds: Sequence[Kind], per_picture: int, count: int | None, seed: int
) -> PlanReport:
    """Choose kinds for every picture and write them down, a dialogue a line.

    Args:
        path: of the plan; replaced if it is there.
        folders: of the shard sets, see `read_pictures`.
        kinds: to choose from.
        per_picture: at most so many dialogues of a picture.
        count: at most so many dialogues of each kind; None for no limit.
        seed: of the choice.

    Raises:
        TriscopeError: no picture suits any of the kinds.
    """
    report = PlanReport(0, 0, Counter())
    part = path.with_name(f".{path.name}.part")
    with part.open("w", encoding="utf-8") as file:
        for raw, facts in read_pictures(folders):
            open_kinds = [kind for kind in kinds if count is None or report.dialogues[kind.name] < count]
            planned = _choose(raw.key, facts, open_kinds, per_picture, seed)
            file.writelines(json.dumps(asdict(dialogue), ensure_ascii=False) + "\n" for dialogue in planned)
            report.pictures += 1
            report.pictures_asked += bool(planned)
            report.dialogues.update(dialogue.kind for dialogue in planned)
    part.replace(path)
    if not report.dialogues:
        found = f"no picture of {report.pictures} that suits {', '.join(kind.name for kind in kinds)}"
        remedy = "add shard sets with captions, names, attributes or relations of the same pictures"
        raise TriscopeError(", ".join(map(str, folders)), found, "facts about pictures", remedy)
    return report


def read_plan(path: Path) -> Iterator[Planned]:
    """The dialogues of a plan, in order; those of one picture stand together."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            record = json.loads(line)
            boxes = tuple(tuple(box) for box in record.pop("boxes"))
            yield Planned(boxes=boxes, focus=tuple(record.pop("focus")), **record)


def _choose(key: str, facts: Facts, kinds: Sequence[Kind], per_picture: int, seed: int) -> list[Planned]:
    """Up to `per_picture` of the kinds that the picture suits, drawn by its key."""
    rng = random.Random(f"{seed} {key}")
    suitable = [(kind, focus) for kind in kinds if (focus := kind.focus(facts))]
    return [_plan(key, facts, kind, focus, seed) for kind, focus in rng.sample(suitable, min(per_picture, len(suitable)))]


def _plan(key: str, facts: Facts, kind: Kind, focus: tuple[int, ...], seed: int) -> Planned:
    """A dialogue about the things in focus, and others as far as there is room; all in the order of the picture's facts."""
    digest = hashlib.blake2b(f"{seed} {key} {kind.name}".encode(), digest_size=4).digest()
    number = int.from_bytes(digest) >> 1  # servers take 31 bits
    rng = random.Random(number)
    others = [index for index in range(len(facts.things)) if index not in focus]
    shown = rng.sample(focus, min(MOST_THINGS, len(focus)))
    shown = sorted(shown + rng.sample(others, min(MOST_THINGS - len(shown), len(others))))
    chosen = facts.of(shown)
    return Planned(
        key,
        kind.name,
        chosen.describe(),
        tuple(thing.box.corners for thing in chosen.things),
        tuple(place for place, index in enumerate(shown, start=1) if index in focus),
        number,
    )
