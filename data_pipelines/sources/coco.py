"""COCO, 2014 or 2017: captions and instances (https://cocodataset.org/#format-data). Annotations CC BY 4.0."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from data_pipelines.reading import keyed, read_list
from data_pipelines.sources.coco_names import longer_names, names_of
from data_pipelines.sources.source import Draft, Entry, Picture, PictureFolders, Source, box_from_xywh, clean, key_of
from data_pipelines.table import Table
from triscope.data.boxes import Box, BoxSpace
from triscope.data.sample import Level, Turn

SMALLEST_SIDE = 0.02  # share of the picture: less than five pixels of a tower's 224


@dataclass(frozen=True)
class CocoSource(Source):
    """A file of annotations in COCO's layout, and the pictures that it is about.

    Args:
        annotations: the file.
        images: folders with the pictures.
    """

    annotations: Path
    images: tuple[Path, ...]

    def entries(self) -> Iterator[Entry]:
        files = PictureFolders(self.images)
        images = Table(keyed(read_list(self.annotations, "images"), "id", self.annotations))
        bare = map(_without_outline, read_list(self.annotations, "annotations"))
        annotations = Table(keyed(bare, "image_id", self.annotations))
        for image_id, records in annotations.groups():
            (image, *_) = images[image_id] or [{"file_name": f"{image_id:012d}.jpg"}]
            size = (image["width"], image["height"]) if "width" in image and "height" in image else None
            yield Entry(key_of(self.name, image_id), (Picture(files.find(image["file_name"]), size),), tuple(records))


@dataclass(frozen=True)
class CocoCaptions(CocoSource):
    """Describe the picture (`captions_*.json`); its five captions are the references.

    Its arguments are those of `CocoSource`.
    """

    name = "coco_captions"

    def ask(self, entry: Entry, draft: Draft) -> None:
        captions = []
        for record in entry.records:
            caption = clean(record["caption"])
            if caption:
                captions.append(caption)
            else:
                draft.drop("empty_answer", f"annotation {record['id']}")
        if captions:
            draft.ask("caption", Level.IMAGE, captions, id=entry.records[0]["image_id"])


@dataclass(frozen=True)
class CocoInstances(CocoSource):
    """Name the object in a box, and find an object that is the only one of its kind (`instances_*.json`).

    Crowds (one box around many) and tiny boxes are asked nothing about, but count when a kind is checked to be unique.

    Its arguments are those of `CocoSource`.
    """

    name = "coco_instances"

    def entries(self) -> Iterator[Entry]:
        names = {category["id"]: category["name"] for category in read_list(self.annotations, "categories")}
        for entry in super().entries():
            records = tuple(record | {"name": names.get(record["category_id"])} for record in entry.records)
            yield replace(entry, records=records)

    def ask(self, entry: Entry, draft: Draft) -> None:
        occurrences = Counter(record["name"] for record in entry.records)
        objects = []
        for record in entry.records:
            annotation, name = f"annotation {record['id']}", record["name"]
            if name is None:
                draft.fault("unknown_category", f"{annotation}: category {record['category_id']}")
                continue
            if record.get("iscrowd"):
                draft.drop("crowd", annotation)
                continue
            box = draft.box(box_from_xywh(record["bbox"]), annotation)
            if box is None:
                continue
            unit = box.to(BoxSpace.UNIT, *draft.sizes[0])
            objects.append({"name": name, "box": [round(corner, 5) for corner in unit.corners]})
            if _is_tiny(unit):
                draft.drop("box_tiny", f"{annotation}: {box}")
                continue
            region = draft.region(box)
            draft.ask("recognition", Level.REGION, [name], region=region)
            if occurrences[name] == 1:
                draft.ask("pointing", Level.REGION, [region], phrase=f"the {name}")
        draft.extra["objects"] = objects


@dataclass(frozen=True)
class CocoRecognition(CocoInstances):
    """Name the object in each true box but crowds (`instances_val2017.json`): PVIT's test, with other names of the categories.

    Its arguments are those of `CocoSource`.
    """

    name = "coco_recognition"

    def ask(self, entry: Entry, draft: Draft) -> None:
        for record in entry.records:
            annotation, name = f"annotation {record['id']}", record["name"]
            if name is None:
                draft.fault("unknown_category", f"{annotation}: category {record['category_id']}")
            elif record.get("iscrowd"):
                draft.drop("crowd", annotation)
            elif (box := draft.box(box_from_xywh(record["bbox"]), annotation)) is not None:
                region = draft.region(box)
                prompt = draft.word("recognition", region=region)
                draft.talk("object_name", Level.REGION, [Turn(prompt, names_of(name), content=region, id=str(record["id"]))])
                if others := longer_names(name):
                    draft.extra.setdefault("longer_names", {})[name] = others


def _without_outline(record: dict) -> dict:
    """An annotation without its outline, which nothing is asked about and which is most of its bytes."""
    record.pop("segmentation", None)
    return record


def _is_tiny(unit: Box) -> bool:
    return min(unit.x2 - unit.x1, unit.y2 - unit.y1) < SMALLEST_SIDE
