"""Region descriptions of Visual Genome (Krishna et al., 2017; https://homes.cs.washington.edu/~ranjay/visualgenome).

Annotations CC BY 4.0.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data_pipelines.sources.source import (
    Draft,
    Picture,
    PictureFolders,
    Source,
    box_from_xywh,
    read_json,
    records_of,
)
from triscope.data.errors import TriscopeError
from triscope.data.sample import Level


@dataclass(frozen=True)
class VisualGenomeRegions(Source):
    """Describe a box, and find what a phrase describes (`region_descriptions.json`).

    Phrases that occur with more than one box of a picture are not asked to be found.

    Args:
        annotations: the file; pictures may also carry `image_id`, `width` and `height`.
        images: folders with the pictures, `VG_100K` and `VG_100K_2`.
    """

    name = "visual_genome_regions"
    annotations: Path
    images: tuple[Path, ...]

    def pictures(self) -> Iterator[Picture]:
        files = PictureFolders(self.images)
        for number, record in enumerate(records_of(read_json(self.annotations), self.annotations)):
            regions = record.get("regions")
            image_id = record.get("image_id", record.get("id"))
            if image_id is None or not isinstance(regions, list):
                where = f"{self.annotations}, record {number}"
                found = f"fields {sorted(record)}"
                raise TriscopeError(where, found, "fields 'id' and 'regions'", "check which file this is")
            size = (record["width"], record["height"]) if "width" in record and "height" in record else None
            yield Picture(f"{self.name}-{image_id}", files.find(f"{image_id}.jpg"), tuple(regions), size)

    def ask(self, picture: Picture, draft: Draft) -> None:
        boxes_of: dict[str, set[tuple]] = {}
        described = []
        for record in picture.records:
            annotation = f"region {record['region_id']}"
            phrase = " ".join(record["phrase"].split()).rstrip(".")
            box = draft.box(box_from_xywh(record[name] for name in ("x", "y", "width", "height")), annotation)
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
                draft.ask("pointing", Level.REGION, [region], phrase=phrase)
            else:
                draft.drop("phrase_of_several_boxes", f"{annotation}: {phrase!r}")
