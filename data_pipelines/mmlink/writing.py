"""Backgrounds, instructions and answers written by a language model. The prompts are our own."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from data_pipelines.language_models import Chat
from data_pipelines.mmlink.pair import IMAGES
from data_pipelines.mmlink.requests import Asked, AskRequest
from triscope.data.sample import MARKER

LONGEST = 400  # characters of a text: longer ones are the model talking on
KINDS = {"characters": "person", "furniture": "piece of furniture"}

BACKGROUND_PROMPT = (
    "A picture shows {shown} in front of nothing. Name a place and a time of day where this could be, as a background "
    "for the picture. Answer with one short phrase without people, such as: a harbour in the morning fog."
)
ASK_PROMPT = (
    "Two pictures that differ in everything else show the same {kind}. Somebody who saw it wrote: {caption!r}.\n"
    "Write an instruction that asks what the two pictures have in common, without giving it away, and a short answer "
    "that says only what was written. Reply with nothing but JSON, in this form: "
    '{{"instruction": "...", "answer": "..."}}'
)
_OBJECT = re.compile(r"\{.*?\}", re.DOTALL)


@dataclass(frozen=True)
class ModelWriter:
    """A language model that writes all texts; what it writes in another form is left out.

    Args:
        chat: the model.
    """

    chat: Chat

    @property
    def name(self) -> str:
        """The model's."""
        return self.chat.name

    def backgrounds(self, domain: str, shown: Sequence[Sequence[str]], seeds: Sequence[int]) -> list[str | None]:
        """The first line that the model writes for each canvas."""
        prompts = [BACKGROUND_PROMPT.format(shown=" and ".join(descriptions)) for descriptions in shown]
        return [_phrase(text) for text in self.chat.reply(prompts, seeds)]

    def ask(self, requests: Sequence[AskRequest]) -> list[Asked | None]:
        """What the model makes of each caption."""
        prompts = [ASK_PROMPT.format(kind=KINDS[request.domain], caption=request.caption) for request in requests]
        return [_asked(text) for text in self.chat.reply(prompts, [request.seed for request in requests])]


def _phrase(text: str) -> str | None:
    lines = [line.strip(" \t\"'.") for line in text.splitlines() if line.strip()]
    return lines[0] if lines and 0 < len(lines[0]) <= LONGEST else None


def _asked(text: str) -> Asked | None:
    """The instruction and answer in a reply, if they are there in the form that was asked for."""
    found = _OBJECT.search(text)
    try:
        record = json.loads(found[0]) if found else None
    except ValueError:
        return None
    if not isinstance(record, dict) or set(record) != {"instruction", "answer"}:
        return None
    texts = [record["instruction"], record["answer"]]
    if not all(isinstance(one, str) and 0 < len(one.strip()) <= LONGEST and not MARKER.search(one) for one in texts):
        return None
    return Asked(f"{IMAGES} {texts[0].strip()}", texts[1].strip())
