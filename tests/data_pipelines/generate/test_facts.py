"""What is read from shard sets about a picture, and how a language model reads it."""

import pytest

from data_pipelines.generate.facts import Relation, facts_of, read_pictures
from tests.data_pipelines.generate.annotated import caption_sample, picture, region_sample, write_annotated
from triscope.data.errors import TriscopeError
from triscope.data.shard_writer import ShardWriter


def test_names_attributes_phrases_and_relations_of_a_box_come_together():
    facts = facts_of([region_sample(0)])
    assert [thing.names for thing in facts.things] == [("dog",), ("dog",), ("bird",), ("lawn",)]
    assert facts.things[3].attributes == ("wet",) and facts.things[0].phrases == ("a dog with a red collar",)
    assert facts.relations == (Relation(0, "on", 3),)
    assert facts.things[0].box.corners == pytest.approx((0.05, 0.1, 0.3, 0.9))


def test_sets_about_the_same_pictures_are_joined_by_the_pictures(tmp_path):
    read = dict((raw.key, facts) for raw, facts in read_pictures(write_annotated(tmp_path, 5)))
    assert list(read) == [f"regions-{number}" for number in range(5)]
    assert all(facts.captions == ("Two dogs on a lawn.", "Dogs and a bird.") for facts in read.values())


def test_a_further_set_about_none_of_the_pictures_is_refused(tmp_path):
    regions, _ = write_annotated(tmp_path / "some", 1)
    with ShardWriter(tmp_path / "other") as writer:
        writer.write(caption_sample(9), [picture(9, tmp_path)])
    with pytest.raises(TriscopeError, match=r"other: found none of the pictures of .*regions"):
        list(read_pictures([regions, tmp_path / "other"]))


def test_the_model_reads_regions_by_their_marks_and_never_more_than_was_chosen():
    facts = facts_of([region_sample(0), caption_sample(0)]).of([0, 3])
    assert facts.describe() == (
        "Captions by different people:\n- Two dogs on a lawn.\n- Dogs and a bird.\n\n"
        "Regions [left, top, right, bottom, as shares of the picture]:\n"
        '<region:1> dog; "a dog with a red collar" [0.050, 0.100, 0.300, 0.900]\n'
        "<region:2> lawn; wet [0.025, 0.600, 0.975, 1.000]\n\n"
        "Relations:\n<region:1> on <region:2>"
    )
    assert facts_of([region_sample(0)]).of([1, 2]).relations == ()
