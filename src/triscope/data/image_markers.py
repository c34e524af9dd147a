"""How public data marks the place of an image in a text, made into `<image:k>`: the one place that knows these marks.

<image>  <ImageHere>  <|image|>     LLaVA, Mantis, MIMIC-IT; Cheetah; mPLUG-Owl3: one after the other
{image#2}                           DEMON, SAM: by number, from 1
"""

import re
from collections.abc import Iterable

from triscope.data.errors import BadSampleError
from triscope.data.sample import MARKER

_IN_ORDER = re.compile(r"<image>|<ImageHere>|<\|image\|>")
_BY_NUMBER = re.compile(r"\{image#(\d+)\}")


def number_images(texts: Iterable[str], images: int, where: str) -> list[str]:
    """The texts of a conversation with `<image:k>` in place of public marks.

    Args:
        texts: prompts and answers, in order; marks without a number are counted through all of them.
        images: how many images the conversation has.
        where: file, key and field, for messages.

    Raises:
        BadSampleError: some images are marked and others not, a mark stands for no image, both kinds of marks, or a text
            that holds `<image:k>` or `<region:k>` already.
    """
    texts = list(texts)
    in_order = sum(len(_IN_ORDER.findall(text)) for text in texts)
    by_number = {int(number) for text in texts for number in _BY_NUMBER.findall(text)}
    if own := next(filter(None, map(MARKER.search, texts)), None):
        raise BadSampleError(where, f"the text {own[0]}", "public marks such as <image>", "leave the record out")
    if in_order and by_number:
        found = f"{in_order} marks in order and {len(by_number)} by number"
        raise BadSampleError(where, found, "marks of one kind", "mend the record or leave it out")
    if in_order not in (0, images) or by_number not in (set(), set(range(1, images + 1))):
        found = f"{in_order} marks" if in_order else f"marks of the images {sorted(by_number)}"
        raise BadSampleError(where, found, f"none, or one for each of {images} image(s)", "mend the record or leave it out")
    count = iter(range(1, in_order + 1))
    numbered = (_IN_ORDER.sub(lambda _: f"<image:{next(count)}>", text) for text in texts)
    return [_BY_NUMBER.sub(lambda mark: f"<image:{int(mark[1])}>", text) for text in numbered]
