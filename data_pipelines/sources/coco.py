"""COCO, 2014 or 2017: captions and instances (https://cocodataset.org/#format-data). Annotations CC BY 4.0."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data_pipelines.sources.source import (
    Draft,
    Picture,
    PictureFolders,
    Source,
    box_from_xywh,
    group_by,
    read_json,
    records_of,
)
from triscope.data.boxes import Box, BoxSpace
from triscope.data.sample import Level

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

    def pictures(self) -> Iterator[Picture]:
        return _pictures(self.name, self.annotations, self.images)


@dataclass(frozen=True)
class CocoCaptions(CocoSource):
    """Describe the picture (`captions_*.json`); its five captions are the references.

    Its arguments are those of `CocoSource`.
    """

    name = "coco_captions"

    def ask(self, picture: Picture, draft: Draft) -> None:
        captions = []
        for record in picture.records:
            caption = " ".join(record["caption"].split())
            if caption:
                captions.append(caption)
            else:
                draft.drop("empty_answer", f"annotation {record['id']}")
        if captions:
            draft.ask("caption", Level.IMAGE, captions)


@dataclass(frozen=True)
class CocoInstances(CocoSource):
    """Name the object in a box, and find an object that is the only one of its kind (`instances_*.json`).

    Crowds (one box around many) and tiny boxes are asked nothing about, but count when a kind is checked to be unique.

    Its arguments are those of `CocoSource`.
    """

    name = "coco_instances"

    def ask(self, picture: Picture, draft: Draft) -> None:
        occurrences = Counter(record["name"] for record in picture.records)
        objects = []
        for record in picture.records:
            annotation, name = f"annotation {record['id']}", record["name"]
            if name is None:
                draft.drop("unknown_category", f"{annotation}: category {record['category_id']}")
                continue
            if record.get("iscrowd"):
                draft.drop("crowd", annotation)
                continue
            box = draft.box(box_from_xywh(record["bbox"]), annotation)
            if box is None:
                continue
            unit = box.to(BoxSpace.UNIT, draft.width, draft.height)
            objects.append({"name": name, "box": [round(corner, 5) for corner in unit.corners]})
            if _is_tiny(unit):
                draft.drop("box_tiny", f"{annotation}: {box.corners}")
                continue
            region = draft.region(box)
            draft.ask("recognition", Level.REGION, [name], region=region)
            if occurrences[name] == 1:
                draft.ask("pointing", Level.REGION, [region], phrase=f"the {name}")
        draft.extra["objects"] = objects


def _pictures(source: str, path: Path, folders: tuple[Path, ...]) -> Iterator[Picture]:
    """Pictures of a COCO file in its order, with their annotations; categories are put in by name."""
    content = read_json(path)
    images = {image.get("id"): image for image in records_of(content, path, "images")}
    annotations = records_of(content, path, "annotations")
    names = {category["id"]: category["name"] for category in content.get("categories", ())}
    files = PictureFolders(folders)
    for image_id, records in sorted(group_by(annotations, "image_id", path).items()):
        image = images.get(image_id, {"file_name": f"{image_id:012d}.jpg"})
        size = (image["width"], image["height"]) if "width" in image and "height" in image else None
        if names:
            records = [record | {"name": names.get(record["category_id"])} for record in records]
        yield Picture(f"{source}-{image_id}", files.find(image["file_name"]), tuple(records), size)


def _is_tiny(unit: Box) -> bool:
    return min(unit.x2 - unit.x1, unit.y2 - unit.y1) < SMALLEST_SIDE
