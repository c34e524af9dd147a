"""How a benchmark asks: which conversations of a set, and in which words. What answers are worth is not known here."""

from dataclasses import dataclass, replace
from string import Formatter, ascii_uppercase

from triscope.data.errors import ConfigurationError
from triscope.data.sample import Conversation, Sample, Turn

AS_CONVERTED = "{content}"
_FIELDS = {"content", "choices"}


@dataclass(frozen=True)
class BenchmarkSet:
    """Shards to evaluate on, and the benchmark that says how they are asked, answered and scored.

    Args:
        shards: folder of the shards, or its address.
        benchmark: name of one of `triscope.evaluation.benchmarks`; None for questions as they were converted, answered as
            the recipe says.
        split: part of the data set that the shards hold, as its files name it; stands in the result.
    """

    shards: str
    benchmark: str | None = None
    split: str = ""


@dataclass(frozen=True)
class Asking:
    """The questions of a benchmark.

    Args:
        task: of the conversations that are asked; a set may hold others.
        wording: a question. `{content}` is what is asked about, and the whole question where that was published so;
            `{choices}` are the candidates by letter, `(A) red (B) blue`.
        scored_as: the task that the answers are scored as, if it is another one.
        made_by: the arguments of `python -m data_pipelines convert` that make the shards, but for their folder; `{split}` is
            the part of the data set.

    Raises:
        ConfigurationError: the wording has other fields.
    """

    task: str
    wording: str = AS_CONVERTED
    scored_as: str = ""
    made_by: str = ""

    def __post_init__(self) -> None:
        named = {name for _, name, _, _ in Formatter().parse(self.wording) if name is not None}
        if named - _FIELDS:
            where, expected = f"wording {self.wording!r}", " and ".join(f"{{{name}}}" for name in sorted(_FIELDS))
            raise ConfigurationError(where, f"{{{sorted(named - _FIELDS)[0]}}}", expected, "name no others")

    def asked(self, sample: Sample) -> Sample:
        """The sample in the benchmark's words; conversations of other tasks stay as they are, in their places."""
        return replace(sample, conversations=tuple(map(self._conversation, sample.conversations)))

    def _conversation(self, conversation: Conversation) -> Conversation:
        if conversation.task != self.task:
            return conversation
        turns = tuple(replace(turn, prompt=self._prompt(turn)) for turn in conversation.turns)
        return replace(conversation, task=self.scored_as or self.task, turns=turns)

    def _prompt(self, turn: Turn) -> str:
        choices = " ".join(f"({letter}) {text}" for letter, text in zip(ascii_uppercase, turn.candidates, strict=False))
        if self.wording == AS_CONVERTED:
            return turn.prompt
        return self.wording.format(content=turn.content or turn.prompt, choices=choices)

    def command(self, of: BenchmarkSet) -> str:
        """What makes the shards of a set."""
        return f"python -m data_pipelines convert {self.made_by.format(split=of.split)} --out {of.shards}"
