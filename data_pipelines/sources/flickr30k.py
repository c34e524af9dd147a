"""Flickr30k Entities (Plummer et al., 2015; https://github.com/BryanPlummer/flickr30k_entities): phrases of captions and
their boxes. Non-commercial research licence.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from data_pipelines.sources.source import Draft, Entry, Picture, PictureFolders, Source, clean, key_of
from triscope.data.boxes import Box, BoxSpace
from triscope.data.errors import TriscopeError
from triscope.data.sample import Level

NOT_VISUAL = "0"
CORNERS = ("xmin", "ymin", "xmax", "ymax")
_PHRASE = re.compile(r"\[/EN#(\d+)(?:/\w+)+ ([^\]]*)\]")


@dataclass(frozen=True)
class Flickr30kEntities(Source):
    """Find what a phrase of a caption names, and name what is in a box (`Sentences`, `Annotations`, a split's list of ids).

    Phrases with several boxes are not asked to be found; what has no box is counted.

    Args:
        split: `train.txt`, `val.txt` or `test.txt`: one id a line.
        sentences: the folder `Sentences`.
        annotations: the folder `Annotations`.
        images: folders with the pictures.
    """

    name = "flickr30k"
    split: Path
    sentences: Path
    annotations: Path
    images: tuple[Path, ...]

    def entries(self) -> Iterator[Entry]:
        files = PictureFolders(self.images)
        for path in (self.sentences, self.annotations):
            if not path.is_dir():
                raise TriscopeError(str(path), "no folder", "a folder of Flickr30k Entities", "check the path")
        if not self.split.is_file():
            raise TriscopeError(str(self.split), "no file", "a list of ids", "check the path")
        with open(self.split, encoding="utf-8") as lines:
            for number in filter(None, map(str.strip, lines)):
                paths = (str(self.sentences / f"{number}.txt"), str(self.annotations / f"{number}.xml"))
                yield Entry(key_of(self.name, number), (Picture(files.find(f"{number}.jpg")),), paths)

    def ask(self, entry: Entry, draft: Draft) -> None:
        sentences, annotations = map(Path, entry.records)
        if not sentences.is_file() or not annotations.is_file():
            draft.fault("annotations_missing", f"{sentences} or {annotations}")
            return
        try:
            boxes = _boxes(annotations, draft)
        except ElementTree.ParseError as error:
            draft.fault("annotations_broken", f"{annotations}: {error}")
            return
        phrases = dict.fromkeys(_PHRASE.findall(sentences.read_text(encoding="utf-8")))
        regions: dict[str, str] = {}
        names: dict[str, list[str]] = {}
        for chain, text in phrases:
            phrase = clean(text)
            if chain == NOT_VISUAL or not boxes.get(chain):
                draft.drop("phrase_without_box", f"chain {chain}: {phrase!r}")
            elif len(boxes[chain]) > 1:
                draft.drop("phrase_of_several_boxes", f"chain {chain}: {phrase!r}")
            else:
                if chain not in regions:
                    regions[chain] = draft.region(boxes[chain][0])
                names.setdefault(chain, []).append(phrase)
                draft.ask("pointing", Level.REGION, [regions[chain]], phrase=phrase)
        for chain, phrases_of_chain in names.items():
            draft.ask("description", Level.REGION, list(dict.fromkeys(phrases_of_chain)), region=regions[chain])


def _boxes(path: Path, draft: Draft) -> dict[str, list[Box]]:
    """Boxes by chain. Published corners count pixels from 1."""
    boxes: dict[str, list[Box]] = {}
    for thing in ElementTree.parse(path).iter("object"):
        corners = thing.find("bndbox")
        if corners is None:  # a scene, or something that cannot be seen
            continue
        x1, y1, x2, y2 = (float(corners.findtext(name, "")) - 1 for name in CORNERS)
        chains = [name.text or "" for name in thing.findall("name")]
        box = draft.box(Box(x1, y1, x2, y2, BoxSpace.PIXELS), f"{path.name}, chains {chains}")
        if box is not None:
            for chain in chains:
                boxes.setdefault(chain, []).append(box)
    return boxes
