"""Questions that are answered by yes or no: POPE, released or built from any boxed set, and MME.

POPE (Li et al., 2023; https://github.com/AoiDragon/POPE) is MIT, its pictures are COCO's. MME (Fu et al., 2023) is for academic
research.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from data_pipelines.reading import keyed, read_lines
from data_pipelines.sources.source import Draft, Entry, Picture, PictureFolders, Source, key_of
from data_pipelines.table import Table
from triscope.data.errors import TriscopeError
from triscope.data.shards import ShardSet

SETTINGS = ("random", "popular", "adversarial")


@dataclass(frozen=True)
class Pope(Source):
    """Tell whether an object is in the picture (`coco_pope_random.json`, `..._popular.json`, `..._adversarial.json`).

    Args:
        annotations: the file, JSON lines of question_id, image, text, label.
        images: folders with the COCO pictures.
    """

    name = "pope"
    annotations: Path
    images: tuple[Path, ...]

    def entries(self) -> Iterator[Entry]:
        files = PictureFolders(self.images)
        for image, records in Table(keyed(read_lines(self.annotations), "image", self.annotations)).groups():
            newer = f"{image.rpartition('_')[2]}"
            yield Entry(key_of(self.name, image), (Picture(files.find(image, newer)),), tuple(records))

    def ask(self, entry: Entry, draft: Draft) -> None:
        for record in entry.records:
            if record["label"] not in ("yes", "no"):
                draft.fault("bad_label", f"question {record['question_id']}: {record['label']!r}")
                continue
            draft.quote("presence", record["text"], [record["label"]], id=record["question_id"])


@dataclass(frozen=True)
class PopeFromBoxes(Source):
    """Ask of any boxed set, as POPE does, whether an object is in the picture: half of the objects are not.

    The set is one of shards whose samples tell their objects (`extra.objects`), such as `coco_instances` or scenes make. The
    absent objects are drawn among all of the set (`random`), the most frequent ones (`popular`), or those that occur most often
    beside what the picture shows (`adversarial`).

    Args:
        shards: folder of the set.
        setting: `random`, `popular` or `adversarial`.
        pictures: at most so many, evenly spread over the set. POPE: 500.
        present: objects asked about that are there, and as many that are not. POPE: 3.
    """

    name = "pope_from_boxes"
    shards: Path
    setting: str = "random"
    pictures: int = 500
    present: int = 3

    def entries(self) -> Iterator[Entry]:
        if self.setting not in SETTINGS:
            raise TriscopeError("--setting", repr(self.setting), " or ".join(SETTINGS), "name one of these")
        shards = ShardSet.open(self.shards)
        frequency, beside = Counter[str](), Counter[tuple[str, str]]()
        fit: list[tuple[int, list[str]]] = []
        for number, raw in enumerate(shards):
            names = sorted({thing["name"] for thing in raw.parse()[0].extra.get("objects", ())})
            frequency.update(names)
            beside.update(combinations(names, 2))
            if len(names) >= self.present:
                fit.append((number, names))
        if not fit:
            expected = f"pictures whose samples tell {self.present} objects or more"
            raise TriscopeError(str(self.shards), "none", expected, "take a boxed set, or ask about fewer (--present)")
        chosen = {number: names for number, names in fit[:: -(-len(fit) // self.pictures)]}
        for number, raw in enumerate(shards):
            if number in chosen:
                yield self._entry(raw, chosen[number], frequency, beside)

    def _entry(self, raw: Any, names: list[str], frequency: Counter[str], beside: Counter[tuple[str, str]]) -> Entry:
        """A picture with the objects that it shows, and those that it does not, the likeliest to be asked about first."""
        sample, contents = raw.parse()
        together = {other: sum(beside[min(name, other), max(name, other)] for name in names) for other in frequency}
        likelihood = {"random": dict.fromkeys(frequency, 0), "popular": frequency, "adversarial": together}[self.setting]
        absent = sorted(set(frequency) - set(names), key=lambda other: (-likelihood[other], other))
        picture = Picture(Path(raw.where), content=contents[0])
        return Entry(key_of(f"{self.name}-{self.setting}", sample.key), (picture,), ((names, absent),))

    def ask(self, entry: Entry, draft: Draft) -> None:
        ((names, absent),) = entry.records
        count = min(self.present, len(absent))
        others = draft.rng.sample(absent, count) if self.setting == "random" else absent[:count]
        for pair, (name, other) in enumerate(zip(draft.rng.sample(names, count), others, strict=True)):
            for number, (asked, answer) in enumerate(((name, "yes"), (other, "no"))):
                question = f"Is there {'an' if asked[0] in 'aeiou' else 'a'} {asked} in the image?"
                draft.quote("presence", question, [answer], id=f"{draft.key}-{2 * pair + number}")


@dataclass(frozen=True)
class Mme(Source):
    """Answer two questions about a picture, one by yes and one by no (a folder a category, two lines a picture).

    Args:
        folder: with `CATEGORY/NAME.jpg` and `CATEGORY/NAME.txt`, or `CATEGORY/images` and `CATEGORY/questions_answers_YN`;
            a line is a question, a tabulator and `Yes` or `No`.
    """

    name = "mme"
    folder: Path

    def entries(self) -> Iterator[Entry]:
        texts = sorted([*self.folder.glob("*/*.txt"), *self.folder.glob("*/questions_answers_YN/*.txt")])
        if not texts:
            raise TriscopeError(str(self.folder), "no CATEGORY/NAME.txt", "the folder of MME", "check the path")
        for text in texts:
            category = text.relative_to(self.folder).parts[0]
            folders = (text.parent, self.folder / category / "images")
            pictures = [folder / f"{text.stem}.{suffix}" for folder in folders for suffix in ("jpg", "png")]
            path = next(filter(Path.is_file, pictures), pictures[0])
            lines = text.read_text(encoding="utf-8").splitlines()
            records = (category, path.name, *filter(None, lines))
            yield Entry(key_of(self.name, f"{category}/{text.stem}"), (Picture(path),), records)

    def ask(self, entry: Entry, draft: Draft) -> None:
        category, file, *lines = entry.records
        for number, line in enumerate(lines):
            question, _, answer = line.rpartition("\t")
            if answer.strip().lower() not in ("yes", "no"):
                draft.fault("bad_label", f"{category}, line {number + 1}: {answer!r}")
                continue
            draft.quote("yes_no_pair", question, [answer.strip().lower()], id=f"{category}/{file}/{number}")
        draft.extra["category"] = category
