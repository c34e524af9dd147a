"""COCO-Text, version 1 or 2: words in the pictures of COCO 2014 (https://bgshih.github.io/cocotext). Annotations CC BY 4.0."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data_pipelines.reading import field, keyed, read_members
from data_pipelines.sources.source import Draft, Entry, Picture, PictureFolders, Source, box_from_xywh, clean, key_of
from data_pipelines.table import Table
from triscope.data.sample import Level


@dataclass(frozen=True)
class CocoText(Source):
    """Read what is written in a box (`cocotext.v2.json`). What nobody could read is asked nothing about.

    Args:
        annotations: the file.
        images: folders with the pictures, COCO's `train2014`.
    """

    name = "coco_text"

    annotations: Path
    images: tuple[Path, ...]

    def entries(self) -> Iterator[Entry]:
        files = PictureFolders(self.images)
        pictures = (record for _, record in read_members(self.annotations, "imgs"))
        images = Table(keyed(pictures, "id", self.annotations))
        words = (_without_outline(record) for _, record in read_members(self.annotations, "anns"))
        for image_id, records in Table(keyed(words, "image_id", self.annotations)).groups():
            (image, *_) = images[image_id] or [{"file_name": f"COCO_train2014_{image_id:012d}.jpg"}]
            size = (image["width"], image["height"]) if "width" in image and "height" in image else None
            yield Entry(key_of(self.name, image_id), (Picture(files.find(image["file_name"]), size),), tuple(records))

    def ask(self, entry: Entry, draft: Draft) -> None:
        for record in entry.records:
            annotation = f"annotation {record['id']}"
            written = clean(record.get("utf8_string", ""))
            if record.get("legibility") == "illegible" or not written:
                draft.drop("illegible", annotation)
                continue
            box = draft.box(box_from_xywh(field(record, "bbox", annotation)), annotation)
            if box is not None:
                draft.ask("text", Level.REGION, [written], region=draft.region(box))


def _without_outline(record: dict) -> dict:
    """An annotation without its outline, under the names of both versions: nothing is asked about it."""
    return {name: value for name, value in record.items() if name not in ("mask", "polygon")}
