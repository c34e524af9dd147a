"""VIST, stories in sequence (Huang et al., 2016; https://visionandlanguage.net/VIST). Photos have Flickr licences."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data_pipelines.reading import keyed, read_items
from data_pipelines.sources.source import Draft, Entry, Picture, PictureFolders, Source, key_of
from data_pipelines.sources.stories import add_story
from data_pipelines.table import Table
from triscope.data.errors import TriscopeError


@dataclass(frozen=True)
class Vist(Source):
    """Tell the story of five photos, and its end (`*.story-in-sequence.json`). Stories with a missing photo are counted.

    Args:
        annotations: the file.
        images: folders with the photos, named by their Flickr ids.
    """

    name = "vist"
    pictures_may_be_missing = True  # many are gone from Flickr
    annotations: Path
    images: tuple[Path, ...]

    def entries(self) -> Iterator[Entry]:
        files = PictureFolders(self.images)
        for story, records in Table(keyed(self._sentences(), "story_id", self.annotations)).groups():
            records = sorted(records, key=lambda record: int(record["worker_arranged_photo_order"]))
            pictures = tuple(
                Picture(files.find(*(f"{record['photo_flickr_id']}.{suffix}" for suffix in ("jpg", "png")))) for record in records
            )
            yield Entry(key_of(self.name, story), pictures, tuple(records))

    def ask(self, entry: Entry, draft: Draft) -> None:
        orders = [int(record["worker_arranged_photo_order"]) for record in entry.records]
        if orders != [*range(5)]:
            draft.fault("story_incomplete", f"sentences of the photos {orders}")
            return
        add_story(draft, [record["original_text"] for record in entry.records], "story")

    def _sentences(self) -> Iterator[dict]:
        """The annotations: each is a list of one record."""
        for number, item in enumerate(read_items(self.annotations, "annotations")):
            if not isinstance(item, list) or len(item) != 1 or not isinstance(item[0], dict):
                where = f"{self.annotations}, annotation {number}"
                raise TriscopeError(where, f"{item!r:.40}", "a list of one record", "check which file this is")
            yield item[0]
