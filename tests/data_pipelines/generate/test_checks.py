"""What is accepted as a dialogue, and why the rest is not."""

import json

import pytest

from data_pipelines.generate.checks import Asked, Rejected, read_dialogue
from data_pipelines.generate.examples import EXAMPLES
from data_pipelines.generate.kinds import GENERAL, KINDS, MULTI_TURN, SMALL_OBJECTS
from triscope.data.sample import Turn

ONE = Asked(SMALL_OBJECTS, regions=3, focus=frozenset({2}))
GOOD = ("What is <region:2> for?", "It is a spoon to eat soup with.")


def reply(*turns: tuple[str, str]) -> str:
    """Turns as a model writes them."""
    return json.dumps({"turns": [{"question": question, "answer": answer} for question, answer in turns]})


@pytest.mark.parametrize("text", [reply(GOOD), f"```json\n{reply(GOOD)}\n```", f"Here it is:\n{reply(GOOD)}\nDone."])
def test_a_dialogue_is_read_with_or_without_text_around_it(text):
    assert read_dialogue(text, ONE) == (Turn(GOOD[0], (GOOD[1],)),)


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("reply_empty", " \n"),
        ("json_broken", reply(GOOD)[:-3]),
        ("json_broken", "What is <region:2>? It is a spoon."),
        ("refusal", "I'm sorry, but I cannot see the picture."),
        ("other_fields", '{"question": "What is <region:2>?", "answer": "A spoon."}'),
        ("other_fields", '{"turns": [{"question": "What is <region:2>?", "answer": "A spoon.", "note": ""}]}'),
        ("other_fields", '{"turns": [{"question": "What is <region:2>?", "answer": 7}]}'),
        ("number_of_turns", '{"turns": []}'),
        ("number_of_turns", reply(GOOD, ("And <region:1>?", "A plate."))),
    ],
)
def test_a_reply_that_is_no_such_dialogue_is_rejected(reason, text):
    with pytest.raises(Rejected) as verdict:
        read_dialogue(text, ONE)
    assert verdict.value.reason == reason


@pytest.mark.parametrize(
    ("reason", "question", "answer"),
    [
        ("question_empty", "<region:2>", "A spoon."),
        ("answer_empty", "What is <region:2>?", " ... "),
        ("region_unknown", "Is <region:2> like <region:4>?", "It is."),
        ("region_unknown", "Is <region:0> like <region:2>?", "It is."),
        ("region_unknown", "Is <region:2> in <image:1>?", "It is."),
        ("mark_broken", "What is <region 2>, not <region:2>?", "A spoon."),
        ("question_without_region", "What is the spoon for?", "To eat soup with."),
        ("other_regions", "What is <region:1>?", "A plate."),
        ("box_in_question", "What is <region:2> at [0.1, 0.2, 0.3, 0.4]?", "A spoon."),
        ("box_in_answer", "Where is <region:2>?", "At [120, 80, 431, 905]."),
        ("box_in_answer", "Where is <region:2>?", "It lies at (10%, 20%, 30%, 40%)."),
        ("box_in_answer", "Where is <region:2>?", "It begins at 0.12, 0.44."),
        ("box_in_answer", "Where is <region:2>?", "At <L120><L80><L431><L905>."),
        ("region_in_answer", "What is <region:2>?", "The same as <region:1>."),
        ("refusal", "What is <region:2>?", "As an AI language model, I do not see pictures."),
        ("refusal", "Who owns <region:2>?", "That cannot be determined."),
        ("refusal", "Who owns <region:2>?", "It is not mentioned who owns it."),
        ("input_mentioned", "What is <region:2>?", "According to the captions, a spoon."),
        ("input_mentioned", "What is <region:2>?", "The region shows a spoon."),
        ("input_mentioned", "What is region 3 next to <region:2>?", "A spoon."),
        ("answer_too_long", "What is <region:2>?", "A spoon. " * 200),
    ],
)
def test_a_turn_that_would_teach_something_wrong_is_rejected(reason, question, answer):
    with pytest.raises(Rejected) as verdict:
        read_dialogue(reply((question, answer)), ONE)
    assert verdict.value.reason == reason


@pytest.mark.parametrize(
    "answer",
    [
        "There are 4 spoons, 2 forks, 3 knives and 1 plate.",
        "It costs 0.50, which is little.",
        "The number 12 bus, due at 10:45 in 1998.",
        "The water is not clear, so the ground cannot be seen.",
        "It lists what is sold in this part of the country.",
    ],
)
def test_an_answer_with_numbers_or_a_no_in_it_is_no_box_and_no_refusal(answer):
    assert read_dialogue(reply(("What is <region:2>?", answer)), ONE)[0].answers == (answer,)


def test_later_turns_may_refer_back_only_where_the_kind_says_so():
    turns = (GOOD, ("Who uses it?", "Whoever eats the soup."), ("When?", "At noon."))
    assert len(read_dialogue(reply(*turns), Asked(MULTI_TURN, 3, frozenset({2})))) == 3
    with pytest.raises(Rejected, match="question_without_region"):
        read_dialogue(reply(*turns), Asked(GENERAL, 3, frozenset({2})))


def test_a_question_is_not_asked_twice():
    with pytest.raises(Rejected, match="question_repeated"):
        read_dialogue(reply(GOOD, GOOD, GOOD), Asked(GENERAL, 3, frozenset({2})))


@pytest.mark.parametrize(("name", "number"), [(name, number) for name in KINDS for number in (0, 1)])
def test_our_examples_suit_their_kind_and_pass_the_checks(name, number):
    example, kind = EXAMPLES[name][number], KINDS[name]
    focus = frozenset(index + 1 for index in kind.focus(example.facts))
    assert len(read_dialogue(reply(*example.turns), Asked(kind, len(example.facts.things), focus))) == len(example.turns)
