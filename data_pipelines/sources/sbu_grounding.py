"""Phrases of SBU captions with the regions that a detector found for them (PVIT's `sbu_grounding.json`). CC BY-NC 4.0."""

from dataclasses import dataclass

from data_pipelines.sources.chat import ChatSource


@dataclass(frozen=True)
class SbuGrounding(ChatSource):
    """Say what is in a region (`sbu_grounding.json`): conversations whose regions stand in PVIT's text form.

    Its arguments are those of `ChatSource`.
    """

    name = "sbu_grounding"
    task = "description"
    pictures_may_be_missing = True  # they are links to Flickr
