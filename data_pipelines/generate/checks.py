"""What is accepted of a language model as a dialogue about given regions, and why the rest is not."""

import json
import re
from dataclasses import dataclass

from data_pipelines.generate.kinds import Kind
from triscope.data.sample import MARKER, Turn

LONGEST = 1200  # characters of a question or an answer: longer ones are the model talking on

_NUMBER = r"\d*\.?\d+%?"
_BOX = re.compile(
    rf"[\[({{<]\s*{_NUMBER}(\s*[,; ]\s*{_NUMBER}){{3}}\s*[\])}}>]"  # four numbers in brackets
    r"|<L\d+>|</?Region>|</?box>"  # published ways to write a region
    r"|(?<![\w.])[01]?\.\d+\s*,\s*[01]?\.\d+|\b[xy][12]?\s*=\s*\d",  # shares one after the other, x1 = ...
    re.IGNORECASE,
)
_REFUSAL = re.compile(
    r"\bas an? (ai|language model|assistant)\b"
    r"|\bi('m| am) (sorry|afraid|unable|not able)\b|\bi apologi[sz]e\b"
    r"|\bi (can(no|')?t|can not|do not|don't) (see|view|tell|answer|determine|identify|know|help|say)\b"
    r"|\b(can(no|')?t|can not|could not|couldn't) be (determined|told|answered|identified|known|said)\b"
    r"|\b(not|isn't|aren't) (mentioned|specified|stated|provided|given|described|known)\b|\bit (is not|isn't|'s not) clear\b"
    r"|\b(unclear|unknown|impossible to (say|tell|know|determine)|unable to (say|tell|determine|see))\b"
    r"|\b(no|not enough|insufficient) (information|details|context)\b",
    re.IGNORECASE,
)
_INPUT = re.compile(
    r"\b(the|these|those|given|provided|listed) (captions|facts|annotations|lists?|regions?|descriptions?)\b"
    r"|\baccording to the (caption|fact|annotation|list|description|text provided)"
    r"|\b(bounding box(es)?|coordinates?)\b|\bregion[s:# ]*\d",
    re.IGNORECASE,
)


class Rejected(Exception):  # noqa: N818, it is a verdict
    """Why a reply is not used.

    Args:
        reason: in a word of the report.
        detail: what was found.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


@dataclass(frozen=True)
class Asked:
    """What a model was asked for.

    Args:
        kind: of the dialogue.
        regions: how many were given; `<region:1>` is the first.
        focus: numbers of those that at least one question has to point at.
    """

    kind: Kind
    regions: int
    focus: frozenset[int]


def read_dialogue(text: str, asked: Asked) -> tuple[Turn, ...]:
    """The turns of a reply.

    Args:
        text: as the model wrote it: a JSON object, in a block of code or between other text at worst.
        asked: what it was asked for.

    Raises:
        Rejected: it is no dialogue of this kind about these regions.
    """
    turns = _turns(text)
    least, most = asked.kind.turns
    if not least <= len(turns) <= most:
        raise Rejected("number_of_turns", f"{len(turns)} turns, not {least} to {most}")
    for question, answer in turns:
        _check_text("question", question)
        _check_text("answer", answer)
        _check_question(question, asked)
        _check_answer(answer)
    questions = [question for question, _ in turns]
    if len({question.lower() for question in questions}) < len(questions):
        raise Rejected("question_repeated", questions[-1])
    _check_pointing(questions, asked)
    return tuple(Turn(question, (answer,)) for question, answer in turns)


def _turns(text: str) -> list[tuple[str, str]]:
    """Questions and answers in the JSON object of a reply."""
    if not text.strip():
        raise Rejected("reply_empty", "no text")
    start, end = text.find("{"), text.rfind("}")
    try:
        record = json.loads(text[start : end + 1])
    except ValueError as error:
        if _REFUSAL.search(text):
            raise Rejected("refusal", text[:200]) from None
        raise Rejected("json_broken", f"{error}; starts with {text[:80]!r}") from None
    turns = record.get("turns") if isinstance(record, dict) else None
    fields = {"question", "answer"}
    if not isinstance(turns, list) or not all(isinstance(turn, dict) and set(turn) == fields for turn in turns):
        raise Rejected("other_fields", str(record)[:200])
    pairs = [(turn["question"], turn["answer"]) for turn in turns]
    if not all(isinstance(one, str) for pair in pairs for one in pair):
        raise Rejected("other_fields", "a question or answer that is no text")
    return [(" ".join(question.split()), answer.strip()) for question, answer in pairs]


def _check_text(name: str, text: str) -> None:
    if not re.search(r"\w", MARKER.sub("", text)):
        raise Rejected(f"{name}_empty", repr(text))
    if len(text) > LONGEST:
        raise Rejected(f"{name}_too_long", f"{len(text)} characters, {text[:80]!r} ...")
    if box := _BOX.search(MARKER.sub("", text)):
        raise Rejected(f"box_in_{name}", f"{box[0]!r} in {text!r}")


def _check_question(question: str, asked: Asked) -> None:
    for kind, number in MARKER.findall(question):
        if kind != "region" or not 1 <= int(number) <= asked.regions:
            raise Rejected("region_unknown", f"<{kind}:{number}>, {asked.regions} regions were given")
    rest = MARKER.sub("", question)
    if "<" in rest:
        raise Rejected("mark_broken", question)
    if mention := _INPUT.search(rest):
        raise Rejected("input_mentioned", f"{mention[0]!r} in {question!r}")


def _check_answer(answer: str) -> None:
    if MARKER.search(answer) or "<region" in answer.lower():
        raise Rejected("region_in_answer", answer)
    if refusal := _REFUSAL.search(answer):
        raise Rejected("refusal", f"{refusal[0]!r} in {answer!r}")
    if mention := _INPUT.search(answer):
        raise Rejected("input_mentioned", f"{mention[0]!r} in {answer!r}")


def _check_pointing(questions: list[str], asked: Asked) -> None:
    pointed = [{int(number) for _, number in MARKER.findall(question)} for question in questions]
    for question, numbers in zip(questions if asked.kind.every_question_points else questions[:1], pointed, strict=False):
        if not numbers:
            raise Rejected("question_without_region", question)
    if not asked.focus & set().union(*pointed):
        raise Rejected("other_regions", f"points at {sorted(set().union(*pointed))}, asked for one of {sorted(asked.focus)}")
