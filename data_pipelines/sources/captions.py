"""Pictures with captions in the layouts of the captioning benchmarks: Karpathy's splits, NoCaps, TextCaps.

Flickr30k (Young et al., 2014) is for non-commercial research; COCO, NoCaps (Agrawal et al., 2019) and TextCaps (Sidorov et
al., 2020) are CC BY 4.0 and 2.0.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data_pipelines.reading import field, keyed, read_list
from data_pipelines.sources.coco import CocoCaptions
from data_pipelines.sources.source import Draft, Entry, Picture, PictureFolders, Source, clean, key_of
from data_pipelines.table import Table
from triscope.data.sample import Level


@dataclass(frozen=True)
class KarpathyCaptions(Source):
    """Describe the picture, in Karpathy's splits (https://cs.stanford.edu/people/karpathy/deepimagesent).

    Args:
        annotations: `dataset_flickr30k.json` or `dataset_coco.json`.
        images: folders with the pictures.
        split: `train`, `restval` (COCO), `val` or `test`.
    """

    annotations: Path
    images: tuple[Path, ...]
    split: str = "test"

    def entries(self) -> Iterator[Entry]:
        files = PictureFolders(self.images)
        for number, record in enumerate(read_list(self.annotations, "images")):
            file = field(record, "filename", f"{self.annotations}, image {number}")
            if record["split"] == self.split:
                path = files.find(f"{record['filepath']}/{file}" if record.get("filepath") else file)
                yield Entry(key_of(self.name, record.get("cocoid", file)), (Picture(path),), (record,))

    def ask(self, entry: Entry, draft: Draft) -> None:
        (record,) = entry.records
        file = record["filename"]
        add_caption(draft, [sentence["raw"] for sentence in record["sentences"]], record.get("cocoid", Path(file).stem))


@dataclass(frozen=True)
class Flickr30kCaptions(KarpathyCaptions):
    """Describe the picture (`dataset_flickr30k.json`); its five captions are the references.

    Its arguments are those of `KarpathyCaptions`.
    """

    name = "flickr30k_captions"


@dataclass(frozen=True)
class CocoKarpathy(KarpathyCaptions):
    """Describe the picture (`dataset_coco.json`); its captions are the references.

    Its arguments are those of `KarpathyCaptions`.
    """

    name = "coco_karpathy"


@dataclass(frozen=True)
class NoCaps(CocoCaptions):
    """Describe the picture (`nocaps_val_4500_captions.json`); its ten captions are the references.

    Its arguments are those of `CocoSource`.
    """

    name = "nocaps"


@dataclass(frozen=True)
class TextCaps(Source):
    """Describe the picture with what is written in it (`TextCaps_0.1_*.json`); its captions are the references.

    Args:
        annotations: the file.
        images: folders with the pictures.
    """

    name = "textcaps"
    annotations: Path
    images: tuple[Path, ...]

    def entries(self) -> Iterator[Entry]:
        files = PictureFolders(self.images)
        for image, records in Table(keyed(read_list(self.annotations, "data"), "image_id", self.annotations)).groups():
            names = [f"{image}.jpg", *(record["image_path"] for record in records[:1] if "image_path" in record)]
            yield Entry(key_of(self.name, image), (Picture(files.find(*names)),), tuple(records))

    def ask(self, entry: Entry, draft: Draft) -> None:
        first = entry.records[0]
        said = first.get("reference_strs") or [record["caption_str"] for record in entry.records]
        add_caption(draft, said, first["image_id"])


def add_caption(draft: Draft, captions: list[str], image: str | int) -> None:
    """Ask for a caption; each that has no text is counted, and without any there is nothing to ask.

    Args:
        draft: of the sample.
        captions: as published.
        image: its number or name in official files of results.
    """
    known = list(filter(None, map(clean, captions)))
    for _ in range(len(captions) - len(known)):
        draft.drop("empty_answer", f"image {image}")
    if known:
        draft.ask("caption", Level.IMAGE, known, id=image)
