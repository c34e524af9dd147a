import pytest

from triscope.evaluation.matching import (
    chosen,
    exact_match,
    is_mentioned,
    mentioned_names,
    names_object,
    noun_counts,
    official_gqa_answer,
    yes_no_match,
)


@pytest.mark.parametrize("answer", ["dog", "Dog.", "a dog", "The dog!", " dog\n"])
def test_an_answer_matches_whatever_its_case_article_and_punctuation(answer):
    assert exact_match(answer, ["dog"])


@pytest.mark.parametrize("answer", ["dogs", "hot dog", "", "a cat or a dog"])
def test_another_answer_does_not_match(answer):
    assert not exact_match(answer, ["dog"])


def test_a_number_matches_in_words_and_in_digits():
    assert exact_match("two", ["2"])
    assert not exact_match("three", ["2"])


@pytest.mark.parametrize(
    ("answer", "truth", "right"),
    [
        ("Yes, there is no dog.", "yes", True),
        ("no", "yes", False),
        ("NO!", "no", True),
        ("I know", "no", False),  # `no` inside a word is not an answer
        ("", "no", False),
        ("maybe", "yes", False),
    ],
)
def test_the_first_yes_or_no_is_the_answer(answer, truth, right):
    assert yes_no_match(answer, [truth]) == right


def test_nouns_count_once_a_kind_in_singular_or_plural():
    right, mentioned, present = noun_counts(
        "Two dogs, a dog and a boat with people",
        ["dog", "dog", "person", "cat"],
        ["dog", "person", "cat", "boat", "sea"],
    )
    assert (right, mentioned, present) == (2, 3, 3)


def test_a_hot_dog_is_not_a_dog():
    vocabulary = ["dog", "hot dog", "fire hydrant"]
    assert mentioned_names("a hot dog beside a fire hydrant", vocabulary) == {("hot", "dog"), ("fire", "hydrant")}
    assert mentioned_names("a dog", vocabulary) == {("dog",)}


@pytest.mark.parametrize(
    ("plural", "name"),
    [("buses", "bus"), ("glasses", "glass"), ("boxes", "box"), ("cherries", "cherry"), ("women", "woman"),
     ("scissors", "scissors"), ("knives", "knife"), ("skis", "skis"), ("horses", "horse"), ("oranges", "orange"),
     ("houses", "house"), ("vases", "vase"), ("sandwiches", "sandwich"), ("toothbrushes", "toothbrush")],
)  # fmt: skip
def test_plurals_are_recognised(plural, name):
    assert is_mentioned(name, mentioned_names(f"some {plural} here", [name]))


@pytest.mark.parametrize(
    ("answer", "is_right"),
    [
        ("dog", True),
        ("The dogs are running.", True),
        ("a puppy", True),
        ("It is not a cat, it is a dog.", True),
        ("not a cat but a dog", True),
        ("No. A dog.", True),
        ("cat", False),
        ("a hot dog", False),
        ("hotdog stand", False),
        ("It isn't a dog.", False),
        ("There is no big dog here", False),
        ("a cat, not a dog", False),
        ("", False),
    ],
)
def test_an_object_is_named_by_any_of_its_names_unless_that_is_denied_or_part_of_another(answer, is_right):
    assert names_object(answer, ("dog", "puppy"), ("hot dog",)) == is_right


def test_a_name_of_two_words_is_found_whole():
    assert names_object("some cell phones", ("cell phone", "phone"))
    assert not names_object("a cell", ("cell phone", "phone"))


@pytest.mark.parametrize(("said", "handed_in"), [("Yes.", "yes"), (" picture ", "picture"), ("St. Bernard..", "st. bernard")])
def test_an_answer_to_gqa_is_handed_in_in_lower_case_without_the_last_full_stop(said, handed_in):
    assert official_gqa_answer(said) == handed_in


@pytest.mark.parametrize(
    ("answer", "number"),
    [
        ("blue", 1),
        ("Blue.", 1),
        ("(B)", 1),
        ("C", 2),
        ("C. the sea", 2),
        ("A dog", None),
        ("D", None),
        ("", None),
        ("blueish", None),
    ],
)
def test_a_choice_is_named_by_its_words_or_its_letter(answer, number):
    assert chosen(answer, ("red", "blue", "the sea")) == number


def test_a_choice_that_is_a_letter_is_meant_by_its_words():
    assert chosen("B", ("C", "B", "A")) == 1
    assert chosen("b", ("a", "B", "b")) == 2
