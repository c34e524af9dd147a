"""Public marks of images become numbered markers; counts that do not match are refused with the key."""

import pytest

from triscope.data.errors import BadSampleError
from triscope.data.image_markers import number_images


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["<image>\nWhat is new in <image>?", "A dog."], ["<image:1>\nWhat is new in <image:2>?", "A dog."]),
        (["Look: <image>", "Yes.", "And <ImageHere>?", "No."], ["Look: <image:1>", "Yes.", "And <image:2>?", "No."]),
        (["{image#2}Caption#2 {image#1} and {image#2} again"], ["<image:2>Caption#2 <image:1> and <image:2> again"]),
        (["<|image|><|image|>"], ["<image:1><image:2>"]),
        (["no mark at all"], ["no mark at all"]),
    ],
)
def test_marks_are_numbered_through_the_conversation(texts: list[str], expected: list[str]) -> None:
    assert number_images(texts, 2, "record 7") == expected


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        (["<image> what?"], "found 1 marks; expected none, or one for each of 2"),
        (["<image><image>", "<image>"], "found 3 marks"),
        (["{image#1} only"], r"found marks of the images \[1\]"),
        (["{image#1}{image#2}{image#3}"], r"marks of the images \[1, 2, 3\]"),
        (["{image#0}{image#1}"], r"marks of the images \[0, 1\]"),
        (["<image>{image#2}"], "marks in order and 1 by number"),
        (["a <region:1>"], "the text <region:1>"),
    ],
)
def test_a_count_that_does_not_match_is_an_error_with_the_key(texts: list[str], found: str) -> None:
    with pytest.raises(BadSampleError, match=f"record 7: {found}" if found.startswith("found") else f"record 7.*{found}"):
        number_images(texts, 2, "record 7")
