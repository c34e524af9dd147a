"""CLEVR-Change (Park et al., 2019; https://github.com/Seth-Park/RobustChangeCaptioning): what changed between two scenes."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data_pipelines.reading import read_json, read_members
from data_pipelines.sources.source import Draft, Entry, Picture, PictureFolders, Source, clean, key_of
from triscope.data.errors import TriscopeError
from triscope.data.sample import Level

_NUMBER = re.compile(r"_(\d{6})\.png$")


@dataclass(frozen=True)
class ClevrChange(Source):
    """Say what changed, or that nothing but the view did; the captions of a pair are the references.

    The numbers of a split are held in memory; captions are not.

    Args:
        change_captions: `change_captions.json`.
        no_change_captions: `no_change_captions.json`.
        splits: `splits.json`.
        images: the folders `images`, `sc_images` and `nsc_images`.
        split: `train`, `val` or `test`.
    """

    name = "clevr_change"
    change_captions: Path
    no_change_captions: Path
    splits: Path
    images: tuple[Path, ...]
    split: str = "train"

    def entries(self) -> Iterator[Entry]:
        files = PictureFolders(self.images)
        splits = read_json(self.splits)
        if not isinstance(splits, dict) or self.split not in splits:
            raise TriscopeError(str(self.splits), "another layout", f"numbers under {self.split!r}", "check --split")
        wanted = set(splits[self.split])
        for path, kind in ((self.change_captions, "semantic"), (self.no_change_captions, "nonsemantic")):
            for name, captions in read_members(path):
                found = _NUMBER.search(name)
                if found is None:
                    raise TriscopeError(f"{path}, {name!r}", "no number", "names such as CLEVR_default_000123.png", "check it")
                if int(found[1]) in wanted:
                    pictures = (Picture(files.find(f"CLEVR_{scene}_{found[1]}.png")) for scene in ("default", kind))
                    yield Entry(key_of(self.name, f"{kind}-{found[1]}"), tuple(pictures), tuple(captions))

    def ask(self, entry: Entry, draft: Draft) -> None:
        captions = dict.fromkeys(filter(None, map(clean, entry.records)))
        if captions:
            draft.ask("difference", Level.IMAGE, captions)
