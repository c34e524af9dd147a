"""Which pictures suit which kinds, and which of their things a dialogue has to be about."""

import pytest

from data_pipelines.generate.facts import Facts, Thing, facts_of
from data_pipelines.generate.kinds import KINDS
from tests.data_pipelines.generate.annotated import caption_sample, region_sample
from triscope.data.boxes import Box

ALL = facts_of([region_sample(0), caption_sample(0)])


@pytest.mark.parametrize(
    ("kind", "focus"),
    [
        ("small_objects", (2,)),
        ("object_relations", (0, 3)),
        ("text_in_picture", ()),
        ("attributes", (3,)),
        ("several_of_a_kind", (0, 1)),
        ("multi_turn", (0, 1, 2, 3)),
        ("general", (0, 1, 2, 3)),
    ],
)
def test_a_kind_is_about_the_things_that_suit_it(kind, focus):
    assert KINDS[kind].focus(ALL) == focus


def test_a_picture_of_which_nothing_is_known_suits_no_kind():
    assert not any(kind.focus(Facts()) for kind in KINDS.values())
    assert not any(kind.focus(Facts(things=(Thing(Box(0, 0, 1, 1)),))) for kind in KINDS.values())


def test_writing_suits_the_kind_about_text():
    facts = Facts(things=(Thing(Box(0, 0, 1, 1), ("sign",)), Thing(Box(0, 0, 0.5, 0.5), text="STOP")))
    assert KINDS["text_in_picture"].focus(facts) == (1,)
    assert "written there: 'STOP'" in facts.describe()
