import pytest

from triscope.data.asking import Asking, BenchmarkSet
from triscope.data.errors import ConfigurationError
from triscope.data.sample import Conversation, Level, Sample, Turn

CAPTION = Conversation("caption", Level.IMAGE, (Turn("Write a caption.", ("a dog",)),))
CHOICE = Conversation(
    "choice", Level.IMAGE, (Turn("Look. What is it?", ("dog",), ("cat", "dog"), content="What is {it}?", id="7"),)
)
QUOTED = Conversation("choice", Level.IMAGE, (Turn("Is it a dog?", ("yes",), ("yes", "no")),))
SAMPLE = Sample("a", (), (CAPTION, CHOICE, QUOTED))


def test_a_benchmark_puts_its_own_words_around_what_is_asked():
    asked = Asking("choice", "{content} Choose: {choices}.").asked(SAMPLE)
    assert [talk.turns[0].prompt for talk in asked.conversations] == [
        "Write a caption.",  # of another task: as it was, and in its place
        "What is {it}? Choose: (A) cat (B) dog.",
        "Is it a dog? Choose: (A) yes (B) no.",  # published just so
    ]
    (turn,) = asked.conversations[1].turns
    assert (turn.answers, turn.candidates, turn.id) == (("dog",), ("cat", "dog"), "7")


def test_without_a_wording_questions_stay_as_they_were_converted():
    assert Asking("choice").asked(SAMPLE) == SAMPLE


def test_answers_may_be_scored_as_those_of_another_task():
    asked = Asking("choice", scored_as="question").asked(SAMPLE)
    assert [talk.task for talk in asked.conversations] == ["caption", "question", "question"]


def test_a_wording_with_an_unknown_field_is_refused():
    with pytest.raises(ConfigurationError, match=r"found \{prompt\}; expected \{choices\} and \{content\}"):
        Asking("choice", "{prompt}?")


def test_the_command_that_makes_the_shards_names_their_folder_and_split():
    made_by = "vsr --annotations {split}.jsonl --images coco"
    command = Asking("statement", made_by=made_by).command(BenchmarkSet("data/vsr/test", "vsr", "test"))
    assert command == "python -m data_pipelines convert vsr --annotations test.jsonl --images coco --out data/vsr/test"
