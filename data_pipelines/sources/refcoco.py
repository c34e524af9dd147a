"""RefCOCO, RefCOCO+ and RefCOCOg (Kazemzadeh et al., 2014; Mao et al., 2016) as REFER publishes them.

https://github.com/lichengunc/refer; code Apache-2.0, pictures and boxes are COCO's. The expressions are pickles: they are
read by an unpickler that admits plain data only.
"""

import pickle
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_pipelines.reading import keyed, read_list
from data_pipelines.sources.source import Draft, Entry, Picture, PictureFolders, Source, box_from_xywh, clean, key_of
from data_pipelines.table import Table
from triscope.data.errors import TriscopeError
from triscope.data.sample import Level

_COCO_NAME = re.compile(r"(COCO_\w+_\d{12})(?:_\d+)?(\.\w+)")  # REFER puts the number of an annotation behind it


@dataclass(frozen=True)
class RefCoco(Source):
    """Find what an expression refers to, and refer to what is in a box (`refs(unc).p`, `instances.json`).

    The expressions, 50,000 of REFER's records, are held in memory; annotations are not.

    Args:
        refs: the pickle of the expressions, such as `refs(unc).p`.
        instances: `instances.json` beside it.
        images: folders with the COCO pictures.
        split: `train`, `val`, `test`, `testA` or `testB`.
    """

    name = "refcoco"
    refs: Path
    instances: Path
    images: tuple[Path, ...]
    split: str = "train"

    def entries(self) -> Iterator[Entry]:
        files = PictureFolders(self.images)
        refs = [ref for ref in read_plain_pickle(self.refs) if ref["split"] == self.split]
        if not refs:
            raise TriscopeError(str(self.refs), f"no expression of split {self.split!r}", "some", "check --split")
        bare = ({name: record[name] for name in ("id", "bbox")} for record in read_list(self.instances, "annotations"))
        annotations = Table(keyed(bare, "id", self.instances))
        images = Table(keyed(read_list(self.instances, "images"), "id", self.instances))
        for image_id, group in Table(keyed(refs, "image_id", self.refs)).groups():
            records = tuple(ref | {"annotations": annotations[ref["ann_id"]]} for ref in group)
            (image, *_) = images[image_id] or [{}]
            size = (image["width"], image["height"]) if image else None
            name = _COCO_NAME.sub(r"\1\2", group[0]["file_name"])
            newer = f"{image_id:012d}.jpg"
            yield Entry(key_of(self.name, image_id), (Picture(files.find(name, newer), size),), records)

    def ask(self, entry: Entry, draft: Draft) -> None:
        for record in entry.records:
            reference = f"reference {record['ref_id']}"
            expressions: dict[str, int] = {}
            for place, sentence in enumerate(record["sentences"]):
                if text := clean(sentence["sent"]):
                    expressions.setdefault(text, sentence.get("sent_id", place))
                else:
                    draft.drop("empty_answer", f"{reference}, sentence {sentence.get('sent_id', place)}")
            if not record["annotations"]:
                draft.fault("object_missing", f"{reference}: annotation {record['ann_id']}")
                continue
            box = draft.box(box_from_xywh(record["annotations"][0]["bbox"]), reference)
            if box is None:
                continue
            if not expressions:
                continue
            region = draft.region(box)
            for expression, number in expressions.items():
                draft.ask("pointing", Level.REGION, [region], id=f"{record['ref_id']}-{number}", phrase=expression)
            draft.ask("reference", Level.REGION, expressions, id=record["ref_id"], region=region)


@dataclass(frozen=True)
class RefCocoPlus(RefCoco):
    """RefCOCO+, whose expressions name no places (`refs(unc).p`, `instances.json`).

    Its arguments are those of `RefCoco`.
    """

    name = "refcoco_plus"


@dataclass(frozen=True)
class RefCocoG(RefCoco):
    """RefCOCOg, whose expressions are longer (`refs(umd).p`, `instances.json`).

    Its arguments are those of `RefCoco`.
    """

    name = "refcocog"


def read_plain_pickle(path: Path) -> list[dict[str, Any]]:
    """The records in a pickle of lists, dicts, numbers and texts, written by Python 2 or 3.

    Raises:
        TriscopeError: no file, no pickle, or one that asks for anything but plain data.
    """
    if not path.is_file():
        raise TriscopeError(str(path), "no file", "expressions as REFER publishes them", "check the path")
    with open(path, "rb") as file:
        try:
            records = _PlainUnpickler(file, encoding="utf-8", errors="replace").load()
        except _NotPlainError as error:
            remedy = "do not use this file: it may run code"
            raise TriscopeError(str(path), f"a pickle that asks for {error}", "plain data", remedy) from None
        except Exception as error:  # a broken pickle can raise anything
            raise TriscopeError(str(path), f"no whole pickle ({error})", "a pickle", "download the file again") from None
    if not isinstance(records, list) or not all(isinstance(record, dict) and "ref_id" in record for record in records):
        raise TriscopeError(str(path), "another layout", "a list of records with ref_id", "check which file this is")
    return records


class _NotPlainError(pickle.UnpicklingError):
    """What a pickle asks for that is no plain data."""


class _PlainUnpickler(pickle.Unpickler):
    """Refuses to import anything, which is how a pickle runs code."""

    def find_class(self, module: str, name: str) -> Any:
        raise _NotPlainError(f"{module}.{name}")
