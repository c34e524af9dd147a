"""Visual Genome (Krishna et al., 2017; https://homes.cs.washington.edu/~ranjay/visualgenome): regions, objects,
attributes, relationships. Annotations CC BY 4.0.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from data_pipelines.reading import field, read_list
from data_pipelines.sources.source import Draft, Entry, Picture, PictureFolders, Source, box_from_xywh, clean, key_of
from triscope.data.boxes import Box
from triscope.data.errors import TriscopeError
from triscope.data.sample import Level, Turn

ROUNDING_PIXELS = 5.0  # boxes were drawn by hand and often reach over the border


@dataclass(frozen=True)
class VisualGenomeSource(Source):
    """A file with one record a picture, and the pictures that it is about.

    Args:
        annotations: the file; its records may also carry the picture's `width` and `height`.
        images: folders with the pictures, `VG_100K` and `VG_100K_2`.
    """

    contents: ClassVar[str]  # the field under which a picture's annotations stand
    annotations: Path
    images: tuple[Path, ...]

    def entries(self) -> Iterator[Entry]:
        files = PictureFolders(self.images)
        for number, record in enumerate(read_list(self.annotations)):
            where = f"{self.annotations}, record {number}"
            contents = field(record, self.contents, where)
            image_id = record["image_id"] if "image_id" in record else field(record, "id", where)
            if not isinstance(contents, list):
                raise TriscopeError(where, f"{self.contents} {contents!r:.40}", "a list", "check which file this is")
            size = (record["width"], record["height"]) if "width" in record and "height" in record else None
            yield Entry(key_of(self.name, image_id), (Picture(files.find(f"{image_id}.jpg"), size),), self.records_of(record))

    def records_of(self, record: dict) -> tuple[dict, ...]:
        """What is asked about, from the record of a picture."""
        return tuple(record[self.contents])


@dataclass(frozen=True)
class VisualGenomeRegions(VisualGenomeSource):
    """Describe a box, and find what a phrase describes (`region_descriptions.json`).

    Phrases that occur with more than one box of a picture are not asked to be found.

    Its arguments are those of `VisualGenomeSource`.
    """

    name = "visual_genome_regions"
    contents = "regions"

    def ask(self, entry: Entry, draft: Draft) -> None:
        boxes_of: dict[str, set[tuple]] = {}
        described = []
        for record in entry.records:
            annotation = f"region {record['region_id' if 'region_id' in record else 'id']}"
            phrase = clean(record["phrase"]).rstrip(".")
            box = _box(draft, (record[name] for name in ("x", "y", "width", "height")), annotation)
            if not phrase:
                draft.drop("empty_answer", annotation)
            elif box is not None and box.corners in boxes_of.setdefault(phrase, set()):
                draft.drop("repeated", f"{annotation}: {phrase!r}")
            elif box is not None:
                boxes_of[phrase].add(box.corners)
                described.append((annotation, phrase, box))
        for annotation, phrase, box in described:
            region = draft.region(box)
            draft.ask("description", Level.REGION, [phrase], region=region)
            if len(boxes_of[phrase]) == 1:
                prompt = draft.word("pointing_described", phrase=phrase)
                draft.talk("pointing", Level.REGION, [Turn(prompt, (region,), content=phrase)])
            else:
                draft.drop("phrase_of_several_boxes", f"{annotation}: {phrase!r}")


@dataclass(frozen=True)
class VisualGenomeObjects(VisualGenomeSource):
    """Name the object in a box, and find an object that is the only one of its name (`objects.json`).

    Its arguments are those of `VisualGenomeSource`.
    """

    name = "visual_genome_objects"
    contents = "objects"

    def ask(self, entry: Entry, draft: Draft) -> None:
        occurrences = Counter(name for record in entry.records for name in set(_names(record)))
        for record in entry.records:
            names, box = _names(record), _object_box(draft, record)
            if not names:
                draft.drop("empty_answer", f"object {record['object_id']}")
            elif box is not None:
                region = draft.region(box)
                draft.ask("recognition", Level.REGION, names, region=region)
                if occurrences[names[0]] == 1:
                    draft.ask("pointing", Level.REGION, [region], phrase=f"the {names[0]}")


@dataclass(frozen=True)
class VisualGenomeAttributes(VisualGenomeSource):
    """Say what the object in a box is like (`attributes.json`).

    Its arguments are those of `VisualGenomeSource`.
    """

    name = "visual_genome_attributes"
    contents = "attributes"

    def ask(self, entry: Entry, draft: Draft) -> None:
        for record in entry.records:
            names = _names(record)
            attributes = list(dict.fromkeys(filter(None, map(clean, record.get("attributes") or ()))))
            if not attributes or not names:
                draft.drop("no_attribute" if names else "empty_name", f"object {record['object_id']}")
                continue
            box = _object_box(draft, record)
            if box is not None:
                answer = ", ".join(attributes)
                draft.ask("attribute", Level.REGION, [answer], name=names[0], region=draft.region(box))


@dataclass(frozen=True)
class VisualGenomeRelationships(VisualGenomeSource):
    """Say how two boxes are related (`relationships.json`, or `scene_graphs.json`, which names objects by their ids).

    Its arguments are those of `VisualGenomeSource`.
    """

    name = "visual_genome_relationships"
    contents = "relationships"

    def records_of(self, record: dict) -> tuple[dict, ...]:
        objects = {item["object_id"]: item for item in record.get("objects", ())}
        return tuple(
            relationship | {end: relationship.get(end) or objects.get(relationship.get(f"{end}_id")) for end in ENDS}
            for relationship in record[self.contents]
        )

    def ask(self, entry: Entry, draft: Draft) -> None:
        regions: dict[int, str] = {}
        for record in entry.records:
            annotation = f"relationship {record['relationship_id']}"
            ends = [record[end] for end in ENDS]
            predicate = clean(record["predicate"]).lower()
            if not all(ends):
                missing = [record.get(f"{end}_id") for end in ENDS if not record[end]]
                draft.fault("object_missing", f"{annotation}: object {missing}")
            elif not predicate or not all(map(_names, ends)):
                draft.drop("empty_answer" if not predicate else "empty_name", annotation)
            elif all([_marked(draft, end, regions) for end in ends]):
                (subject, thing), (first, second) = (_names(end)[0] for end in ends), (regions[end["object_id"]] for end in ends)
                answers = [predicate, f"the {subject} {predicate} the {thing}"]
                fields = {"subject": subject, "object": thing, "first": first, "second": second}
                draft.ask("relationship", Level.REGION, answers, **fields)


ENDS = ("subject", "object")


def _names(record: dict) -> list[str]:
    """An object's names; the dumps hold `name` or `names`."""
    names: Iterable[str] = record["names"] if "names" in record else [record.get("name", "")]
    return list(dict.fromkeys(filter(None, map(clean, names))))


def _object_box(draft: Draft, record: dict) -> Box | None:
    return _box(draft, (record[name] for name in "xywh"), f"object {record['object_id']}")


def _box(draft: Draft, numbers: Iterable[float], annotation: str) -> Box | None:
    return draft.box(box_from_xywh(numbers), annotation, rounding=ROUNDING_PIXELS)


def _marked(draft: Draft, record: dict, regions: dict[int, str]) -> str | None:
    """The marker of an object, the same whenever it is named; none if its box is unusable."""
    number = record["object_id"]
    if number not in regions:
        box = _object_box(draft, record)
        if box is None:
            return None
        regions[number] = draft.region(box)
    return regions[number]
