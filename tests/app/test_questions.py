"""The level of a question goes by its words, and its marks have numbers."""

import pytest

from data_pipelines.wordings import WORDINGS
from triscope.app.questions import check_marks, guess_level
from triscope.data.errors import BadSampleError
from triscope.data.sample import Level

ABOUT_PLACES = (
    *("pointing", "pointing_described", "pointing_shared", "recognition", "text"),
    *("attribute", "relationship", "reference", "description"),
)
FIELDS = {
    **{"question": "Is there a dog?", "statement": "The dog is where the cat was.", "sentence": "The dog finds a bone."},
    **{"name": "dog", "plural": "dogs", "subject": "dog", "object": "bone", "relation": "left of", "phrase": "the large dog"},
    **{"region": "<region:1>", "first": "<region:1>", "second": "<region:2>"},
    **{"images": "<image:1> <image:2>", "last": "<image:2>", "ordinal": "second", "ordinals": "first or second"},
    "story": "A fox looks for a pear. It finds the pear.",
}
WORDED = [
    (wording.format(**FIELDS), Level.REGION if task in ABOUT_PLACES else Level.IMAGE)
    for task, wordings in WORDINGS.items()
    if task != "why"  # it follows another question, whose level is that of the talk
    for wording in wordings
]


@pytest.mark.parametrize(("question", "level"), WORDED)
def test_every_wording_of_a_task_is_of_its_level(question, level):
    assert guess_level(question) is level


@pytest.mark.parametrize(
    "question",
    [
        *("Where's the dog?", "Show me where the dog is.", "Please point to the dog.", "Can you find the dog?", "locate the dog"),
        *("Look at the picture. Where is the dog?", "<image:2> Where is the dog?", "Give me the bounding box of the dog."),
        *("What is at [10,20,30,40]?", "Is <region:1> a dog?"),
    ],
)
def test_a_question_that_names_a_place_or_asks_for_one_is_of_the_region_level(question):
    assert guess_level(question) is Level.REGION


@pytest.mark.parametrize(
    "question",
    [
        *("Give a short caption.", "Give the color of the box.", "Is there a box?", "What is the point of this?"),
        *("Show me what is left of the dog.", "Is the dog where the cat was?", "Does anyone find the dog?"),
    ],
)
def test_words_of_places_in_a_question_about_the_whole_do_not_change_its_level(question):
    assert guess_level(question) is Level.IMAGE


@pytest.mark.parametrize(
    ("mark", "remedy"), [("image", "Leave it out where there is one picture, else number it"), ("region", "Number it")]
)
def test_a_mark_without_its_number_is_refused_with_one(mark, remedy):
    check_marks(f"What is in <{mark}:1>, an <img> or an image?", "here")
    with pytest.raises(BadSampleError, match=f"here: found <{mark}>; expected <{mark}:1>, <{mark}:2> and so on. {remedy}"):
        check_marks(f"<{mark}> What is this?", "here")
