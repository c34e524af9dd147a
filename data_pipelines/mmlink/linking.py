"""Characters and furniture: one subject in two pictures with other companions, places and sizes.

two pictures of the subject, one of each companion -> segment -> place on two canvases -> describe a background
-> inpaint it -> caption the subject's source -> instruction and answer
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from PIL import Image

from data_pipelines.mmlink.pair import Pair, PixelBox, Placement, of_split, pair_generator
from data_pipelines.mmlink.requests import Asked, AskRequest, Canvas, Source
from data_pipelines.mmlink.steps import Steps
from data_pipelines.mmlink.subjects import Subject
from triscope.data.errors import ConfigurationError

# What a pair that a step could not do is counted as, in the order of the steps.
FAILURES = ("not_segmented", "not_captioned", "no_background", "not_inpainted", "no_question")
BATCH = 32  # pairs that go through the steps together
HEIGHTS = (0.45, 0.85)  # of a subject, as shares of the picture
WIDEST = 0.46  # of a subject, as a share of the picture
BOTTOMS = (0.88, 0.99)  # where subjects stand, as shares of the picture
MASK_SHARES = (0.01, 0.95)  # of a source picture: a mask outside them is no subject
_VISIBLE = 16  # of 255: fainter parts of a mask are not part of a box

Drawn = TypeVar("Drawn")


@dataclass
class _Draft:
    """A pair on its way through the steps.

    Args:
        index: its number.
        rng: draws everything that no step does.
        subjects: the shared one and its two companions.
        sources: of the two pictures, the shared subject's source and the companion's.
        seeds: of the steps: two backgrounds, two paintings, the text.
    """

    index: int
    rng: random.Random
    subjects: tuple[Subject, Subject, Subject]
    sources: tuple[tuple[str, str], tuple[str, str]]
    seeds: tuple[int, ...]
    caption: str = ""
    canvases: list[Canvas] = field(default_factory=list)
    pasted: list[list[tuple[Image.Image, PixelBox]]] = field(default_factory=list)
    prompts: list[str] = field(default_factory=list)
    pictures: list[Image.Image] = field(default_factory=list)
    asked: Asked | None = None

    def companion(self, picture: int) -> Subject:
        """Who stands beside the shared subject there."""
        return self.subjects[1 + picture]


class Linker:
    """Sends pairs through the steps, batch by batch; cut-outs and captions of a source are made once.

    Args:
        domain: `characters` or `furniture`.
        steps: who does what.

    Raises:
        ConfigurationError: too few subjects.
    """

    def __init__(self, domain: str, steps: Steps) -> None:
        self.domain = domain
        self.steps = steps
        self._cut_outs: dict[str, Image.Image | None] = {}
        self._captions: dict[str, str | None] = {}

    def pairs(self, seed: int, split: str, indices: Sequence[int]) -> Iterator[tuple[int, Pair | str]]:
        """Each pair with its number; one of `FAILURES` in place of a pair that a step could not do.

        Args:
            seed, split: of the set.
            indices: which. A pair depends on its index alone; a step that batches may see it together with its neighbours.
        """
        subjects = of_split(self.steps.subjects.all(), split)
        if len({subject.description for subject in subjects}) < 3:
            found = f"{len(subjects)} subjects in the split {split}"
            raise ConfigurationError(self.steps.subjects.name, found, "three that differ, or more", "add subjects")
        for first in range(0, len(indices), BATCH):
            batch = indices[first : first + BATCH]
            drafts = [self._plan(subjects, pair_generator(self.domain, seed, split, index), index) for index in batch]
            results: dict[int, Pair | str] = {}
            for failure, step in zip(FAILURES, self._sequence, strict=True):
                left = step(drafts)
                kept = {draft.index for draft in left}
                results |= {draft.index: failure for draft in drafts if draft.index not in kept}
                drafts = left
            results |= {draft.index: self._finished(draft) for draft in drafts}
            yield from ((index, results[index]) for index in batch)

    @property
    def _sequence(self) -> tuple[Callable[[list[_Draft]], list[_Draft]], ...]:
        """What becomes of a batch; each gives back the drafts that it could do."""
        return self._segment, self._caption, self._describe, self._inpaint, self._ask

    def _plan(self, subjects: list[Subject], rng: random.Random, index: int) -> _Draft:
        """Draw the subject, two of its pictures, and two companions that look different."""
        chosen: list[Subject] = []
        while len(chosen) < 3:
            subject = rng.choice(subjects)
            if subject.description not in [other.description for other in chosen]:
                chosen.append(subject)
        shared, *companions = chosen
        poses = rng.sample(shared.sources, 2)
        others = [rng.choice(companion.sources) for companion in companions]
        seeds = tuple(rng.randrange(2**31) for _ in range(5))
        return _Draft(index, rng, (chosen[0], chosen[1], chosen[2]), ((poses[0], others[0]), (poses[1], others[1])), seeds)

    def _segment(self, drafts: list[_Draft]) -> list[_Draft]:
        """Cut every subject out of its source and place it."""
        wanted = dict.fromkeys(source for draft in drafts for row in draft.sources for source in row)
        new = [source for source in wanted if source not in self._cut_outs]
        pictures = [self.steps.subjects.picture(source) for source in new]
        for source, picture, mask in zip(new, pictures, self.steps.segmenter.segment(pictures), strict=True):
            self._cut_outs[source] = cut_out_of(picture, mask)
        done = []
        for draft in drafts:
            rows = [[self._cut_outs[source] for source in row] for row in draft.sources]
            if all(cut_out is not None for row in rows for cut_out in row):
                draft.pasted = [placed([one for one in row if one is not None], draft.rng, self.steps.side) for row in rows]
                done.append(draft)
        return done

    def _caption(self, drafts: list[_Draft]) -> list[_Draft]:
        """Caption the first source of the shared subject."""
        sources = {draft.sources[0][0]: draft.subjects[0].description for draft in drafts}
        new = [source for source in sources if source not in self._captions]
        asked = [Source(self.steps.subjects.picture(source), sources[source]) for source in new]
        self._captions.update(zip(new, self.steps.captioner.caption(asked), strict=True))
        for draft in drafts:
            draft.caption = self._captions[draft.sources[0][0]] or ""
        return [draft for draft in drafts if draft.caption]

    def _describe(self, drafts: list[_Draft]) -> list[_Draft]:
        """Write a background for each canvas."""
        shown = [
            [draft.subjects[0].description, draft.companion(picture).description] for draft in drafts for picture in range(2)
        ]
        seeds = [draft.seeds[picture] for draft in drafts for picture in range(2)]
        written = _in_twos(self.steps.writer.backgrounds(self.domain, shown, seeds))
        done = []
        for draft, prompts in zip(drafts, written, strict=True):
            draft.prompts = [prompt for prompt in prompts if prompt]
            if len(draft.prompts) == 2:
                draft.canvases = [
                    canvas(draft.pasted[picture], self.steps.side, draft.prompts[picture], draft.seeds[2 + picture])
                    for picture in range(2)
                ]
                done.append(draft)
        return done

    def _inpaint(self, drafts: list[_Draft]) -> list[_Draft]:
        """Fill what is free on the canvases, and put the subjects on top, as they were."""
        painted = _in_twos(self.steps.inpainter.paint([one for draft in drafts for one in draft.canvases]))
        for draft, pictures in zip(drafts, painted, strict=True):
            for picture, pasted in zip(pictures, draft.pasted, strict=True):
                if picture is not None:
                    draft.pictures.append(picture.convert("RGB"))
                    paste(draft.pictures[-1], pasted)
        return [draft for draft in drafts if len(draft.pictures) == 2]

    def _ask(self, drafts: list[_Draft]) -> list[_Draft]:
        """Make instruction and answer from the caption."""
        requests = [AskRequest(self.domain, draft.caption, draft.seeds[4]) for draft in drafts]
        for draft, asked in zip(drafts, self.steps.writer.ask(requests), strict=True):
            draft.asked = asked
        return [draft for draft in drafts if draft.asked is not None]

    def _finished(self, draft: _Draft) -> Pair:
        assert draft.asked is not None
        placements = []
        for picture in range(2):
            who = (draft.subjects[0], draft.companion(picture))
            for subject, source, (_, box) in zip(who, draft.sources[picture], draft.pasted[picture], strict=True):
                placements.append(Placement(picture, source, subject.description, box, subject is draft.subjects[0]))
        provenance = {
            "shared": draft.subjects[0].name,
            "caption": draft.caption,
            "prompts": draft.prompts,
            "seeds": list(draft.seeds),
            "steps": self.steps.names(),
        }
        pictures = (draft.pictures[0], draft.pictures[1])
        return Pair(pictures, tuple(placements), draft.asked.instruction, draft.asked.answer, provenance)


def cut_out_of(picture: Image.Image, mask: Image.Image | None) -> Image.Image | None:
    """The subject under a mask as an RGBA picture no larger than it; None where the mask is too small or too large."""
    if mask is None:
        return None
    box = mask.point(lambda value: value if value >= _VISIBLE else 0).getbbox()
    share = sum(mask.point(lambda value: value >= _VISIBLE and 255).histogram()[255:]) / (mask.width * mask.height)
    if box is None or not MASK_SHARES[0] <= share <= MASK_SHARES[1]:
        return None
    subject = picture.convert("RGBA")
    subject.putalpha(mask)
    return subject.crop(box)


def placed(cut_outs: list[Image.Image], rng: random.Random, side: int) -> list[tuple[Image.Image, PixelBox]]:
    """Two subjects, each scaled and somewhere in its half of a square canvas; which is on the left is drawn."""
    halves = rng.sample((0, 1), 2)
    pasted = []
    for cut_out, half in zip(cut_outs, halves, strict=True):
        scale = min(rng.uniform(*HEIGHTS) * side / cut_out.height, WIDEST * side / cut_out.width)
        width, height = (max(1, round(scale * length)) for length in cut_out.size)
        room = side // 2 - width
        left = half * (side - side // 2) + rng.randint(0, max(0, room))
        top = round(rng.uniform(*BOTTOMS) * side) - height
        small = cut_out.resize((width, height), Image.Resampling.LANCZOS)
        pasted.append((small, (left, top, left + width, top + height)))
    return pasted


def canvas(pasted: list[tuple[Image.Image, PixelBox]], side: int, prompt: str, seed: int) -> Canvas:
    """The subjects on black, and a mask of what is free."""
    picture, free = Image.new("RGB", (side, side)), Image.new("L", (side, side), 255)
    paste(picture, pasted)
    for cut_out, (left, top, *_) in pasted:
        free.paste(0, (left, top), cut_out.getchannel("A"))
    return Canvas(picture, free, prompt, seed)


def paste(picture: Image.Image, pasted: list[tuple[Image.Image, PixelBox]]) -> None:
    """Put the subjects on a picture."""
    for cut_out, (left, top, *_) in pasted:
        picture.paste(cut_out, (left, top), cut_out)


def _in_twos(items: list[Drawn]) -> list[tuple[Drawn, Drawn]]:
    return list(zip(items[::2], items[1::2], strict=True))
