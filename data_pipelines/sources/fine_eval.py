"""FineEval, PVIT's set of instructions for human judges (https://github.com/PVIT-official/PVIT). CC BY-NC 4.0."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data_pipelines.reading import field, read_lines
from data_pipelines.sources.source import Draft, Entry, Picture, PictureFolders, Source, clean, key_of
from triscope.data.errors import BadSampleError, TriscopeError
from triscope.data.region_text import read_regions
from triscope.data.sample import Level, Region, Turn

WORDINGS = ("instruction", "instruction_no_region")
NO_REFERENCE = "unknown"  # a turn needs a reference; people judge what is answered


@dataclass(frozen=True)
class FineEval(Source):
    """Follow an instruction about regions (`instructions.jsonl`); without references, for `triscope rank`.

    Args:
        annotations: the file.
        images: folders with the pictures.
        wording: `instruction`, with regions, or `instruction_no_region`, for systems that cannot be pointed at anything.
    """

    name = "fine_eval"
    annotations: Path
    images: tuple[Path, ...]
    wording: str = WORDINGS[0]

    def entries(self) -> Iterator[Entry]:
        if self.wording not in WORDINGS:
            raise TriscopeError("--wording", repr(self.wording), " or ".join(WORDINGS), "name one of these fields")
        files = PictureFolders(self.images)
        by_image: defaultdict[str, list[dict]] = defaultdict(list)
        for number, record in enumerate(read_lines(self.annotations), start=1):
            by_image[field(record, "image", f"{self.annotations}, line {number}")].append(record)
        for image, records in by_image.items():
            yield Entry(key_of(self.name, image), (Picture(files.find(image)),), tuple(records))

    def ask(self, entry: Entry, draft: Draft) -> None:
        asked = []
        for record in entry.records:
            try:
                text, boxes = read_regions(clean(record[self.wording]), draft.key, first=len(draft.regions) + 1)
            except BadSampleError as error:
                draft.fault("region_broken", str(error))
                continue
            draft.regions += [Region(0, box) for box in boxes]
            draft.talk(self.name, Level.REGION if boxes else Level.IMAGE, [Turn(text, (NO_REFERENCE,))])
            asked.append({name: record[name] for name in WORDINGS})
        draft.extra |= {"file": entry.records[0]["image"], "published": asked}
