"""Dialogues about the regions of pictures, from shard sets to a shard set.

    plan      read the pictures, choose kinds                       WORK/plan.jsonl
    estimate  tokens and cost, before anything is asked
    ask       what the journal does not hold yet                    WORK/replies.jsonl
    write     check the answers, put them beside their pictures     OUT, WORK/rejected.jsonl

Stopped at any moment and started again, it goes on.
"""

import json
import math
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TextIO

from tqdm import tqdm

from data_pipelines.generate.checks import Rejected, read_dialogue
from data_pipelines.generate.examples import EXAMPLES
from data_pipelines.generate.journal import Journal, Paid
from data_pipelines.generate.kinds import KINDS, Kind
from data_pipelines.generate.plan import Planned, read_plan, write_plan
from data_pipelines.language_models import CHARACTERS_A_TOKEN, Chat, NoReply, Reply, Request
from triscope.data.errors import BadShardError, TriscopeError
from triscope.data.folder import write_whole
from triscope.data.sample import MARKER, Conversation, Level, Region, Sample, Turn
from triscope.data.shard_writer import ShardWriter
from triscope.data.shards import RawSample, ShardSet

PLAN_FILE, REJECTED_FILE, REPORT_FILE = "plan.jsonl", "rejected.jsonl", "report.json"
EXAMPLES_OF_A_REASON = 3


@dataclass(frozen=True)
class Prices:
    """What a million tokens cost, in any currency."""

    prompt: float = 0.0
    answer: float = 0.0

    def cost(self, prompt_tokens: float, answer_tokens: float) -> float:
        """Of so many tokens."""
        return (self.prompt * prompt_tokens + self.answer * answer_tokens) / 1e6


@dataclass(frozen=True)
class Choice:
    """Which dialogues are wanted; see `write_plan`."""

    kinds: tuple[Kind, ...] = tuple(KINDS.values())
    per_picture: int = 1
    count: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class Estimate:
    """What is still to be asked, and what that will cost.

    Args:
        dialogues: planned, by kind.
        answered: of them, in the journal.
        requests: still to be sent.
        prompt_tokens, answer_tokens: of these.
        most_answer_tokens: if every answer were as long as it may be.
        paid: earlier, by the journal.
        measured: tokens are estimated by what earlier answers took; otherwise by the length of texts.
    """

    dialogues: Counter[str]
    answered: int
    requests: int
    prompt_tokens: int
    answer_tokens: int
    most_answer_tokens: int
    paid: Paid
    measured: bool

    def cost(self, prices: Prices) -> float:
        """Of what is still to be asked and what was asked before."""
        spent = prices.cost(self.paid.prompt_tokens, self.paid.answer_tokens)
        return spent + prices.cost(self.prompt_tokens, self.answer_tokens)

    def text(self, prices: Prices) -> str:
        """The estimate for people."""
        kinds = ", ".join(f"{kind} {count}" for kind, count in self.dialogues.items())
        basis = f"as {self.paid.replies} earlier answers took" if self.measured else "by the length of texts"
        most = prices.cost(self.prompt_tokens, self.most_answer_tokens)
        cost = (
            f"about {prices.cost(self.prompt_tokens, self.answer_tokens):.2f}, {most:.2f} at most; "
            f"paid earlier: {prices.cost(self.paid.prompt_tokens, self.paid.answer_tokens):.2f}"
        )
        return (
            f"{sum(self.dialogues.values())} dialogues: {kinds}\n"
            f"{self.answered} answered already, {self.requests} to ask\n"
            f"about {self.prompt_tokens:,} tokens to read and {self.answer_tokens:,} to write, {basis}\n"
            f"cost: {cost if prices != Prices() else 'not known without --prompt_price and --answer_price'}"
        )


@dataclass
class Report:
    """What became of the dialogues.

    Args:
        pictures_written: with at least one dialogue.
        written: dialogues, by kind.
        rejected: by reason.
        examples: the first few of each reason.
        unanswered: requests without an answer; asked again by another run.
    """

    pictures_written: int = 0
    written: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    examples: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    unanswered: int = 0

    def reject(self, planned: Planned, verdict: Rejected) -> None:
        """Count an answer that is not used."""
        self.rejected[verdict.reason] += 1
        if len(self.examples[verdict.reason]) < EXAMPLES_OF_A_REASON:
            self.examples[verdict.reason].append(f"{planned.key}, {planned.kind}: {verdict.detail}")

    def text(self) -> str:
        """The report for people."""
        kinds = ", ".join(f"{kind} {count}" for kind, count in self.written.most_common())
        lines = [
            f"{self.pictures_written} pictures with {sum(self.written.values())} dialogues written: {kinds or 'none'}",
            f"rejected: {sum(self.rejected.values())}; without an answer: {self.unanswered}",
        ]
        for reason, count in self.rejected.most_common():
            lines.append(f"  {count:>8}  {reason}")
            lines.extend(f"            such as {example}" for example in self.examples[reason])
        return "\n".join(lines)


def estimate(folders: Sequence[Path], work: Path, chat: Chat, choice: Choice) -> Estimate:
    """Plan the dialogues and say what they would take; asks nothing.

    Args:
        folders: of the shard sets, see `read_pictures`.
        work: folder for plan and journal, made if absent.
        chat: the model that would be asked.
        choice: which dialogues are wanted.
    """
    work.mkdir(parents=True, exist_ok=True)
    plan = write_plan(work / PLAN_FILE, folders, choice.kinds, choice.per_picture, choice.count, choice.seed)
    with Journal(work, chat) as journal:
        open_kinds: Counter[str] = Counter()
        characters = 0
        for planned in read_plan(work / PLAN_FILE):
            request = planned.request
            if request not in journal:
                open_kinds[planned.kind] += 1
                characters += request.characters
        paid, requests = journal.paid, open_kinds.total()
        written = paid.answer_tokens / paid.replies * requests if paid.replies else _by_examples(open_kinds)
        return Estimate(
            dialogues=plan.dialogues,
            answered=plan.dialogues.total() - requests,
            requests=requests,
            prompt_tokens=math.ceil(characters / paid.characters_a_token),
            answer_tokens=math.ceil(written),
            most_answer_tokens=requests * chat.max_tokens,
            paid=Paid(**vars(paid)),
            measured=paid.replies > 0,
        )


def generate(
    folders: Sequence[Path],
    out: Path,
    work: Path,
    chat: Chat,
    choice: Choice,
    prices: Prices = Prices(),
    max_cost: float | None = None,
    unanswered_allowed: int = 10,
    samples_per_shard: int = 1000,
    say: Callable[[str], object] = print,
) -> Report:
    """Let a model write dialogues and store those that pass the checks, with their pictures.

    Stopped at any moment and called again, it goes on: answers that are in the journal are not asked for again.

    Args:
        folders: of the shard sets, see `read_pictures`.
        out: folder of the set to write; absent or empty. It is there completely or not at all.
        work: folder for plan, journal and rejected answers.
        chat: the model.
        choice: which dialogues are wanted.
        prices: of tokens.
        max_cost: nothing is asked if the estimate is higher, earlier runs included; asking stops when it is reached.
        unanswered_allowed: how many requests may stay without an answer before it stops.
        samples_per_shard: of the shards written.
        say: is told the estimate before anything is asked.

    Raises:
        TriscopeError: `out` holds something, no picture suits, too many requests without an answer, or nothing passed.
        ConfigurationError: the model does not answer at all.
    """
    if out.exists() and any(out.iterdir()):
        raise BadShardError(str(out), "files", "an empty folder", "name another folder or empty this one")
    expected = estimate(folders, work, chat, choice)
    say(expected.text(prices))
    if max_cost is not None and expected.cost(prices) > max_cost:
        found = f"{expected.cost(prices):.2f} expected, with what was paid earlier"
        remedy = "ask for fewer dialogues (--count), or allow more; nothing was asked"
        raise TriscopeError("--max_cost", found, f"at most {max_cost:g}", remedy)
    report = Report()
    with Journal(work, chat) as journal:
        limits = _Limits(prices, max_cost, unanswered_allowed)
        report.unanswered = _ask(work / PLAN_FILE, journal, chat, expected.requests, limits)
        _write(folders[0], out, work, journal, chat.name, samples_per_shard, report)
    return report


@dataclass(frozen=True)
class _Limits:
    prices: Prices
    max_cost: float | None
    unanswered_allowed: int

    def check(self, paid: Paid, problems: Sequence[str]) -> None:
        cost = self.prices.cost(paid.prompt_tokens, paid.answer_tokens)
        if self.max_cost is not None and cost > self.max_cost:
            remedy = "allow more, and run the command again: answers are kept"
            raise TriscopeError("--max_cost", f"{cost:.2f} paid", f"at most {self.max_cost:g}", remedy)
        if len(problems) > self.unanswered_allowed:
            found = f"{len(problems)} requests without an answer, the last one for {problems[-1]}"
            remedy = "run the command again when the server answers (answers are kept), or allow more"
            raise TriscopeError("--unanswered_allowed", found, f"at most {self.unanswered_allowed}", remedy)


def _ask(plan: Path, journal: Journal, chat: Chat, count: int, limits: _Limits) -> int:
    """Ask for what the journal does not hold; how many requests stayed without an answer."""
    problems: list[str] = []
    with tqdm(total=count, desc=chat.name, unit=" answers", disable=None) as progress:

        def keep(request: Request, reply: Reply | NoReply) -> None:
            if isinstance(reply, NoReply):
                problems.append(reply.problem)
            else:
                journal.keep(request, reply)
            progress.update()
            limits.check(journal.paid, problems)

        requests = (planned.request for planned in read_plan(plan))
        chat.ask((request for request in requests if request not in journal), keep)
    return len(problems)


def _write(folder: Path, out: Path, work: Path, journal: Journal, model: str, samples_per_shard: int, report: Report) -> None:
    """Check answers and write shards, beside their place until they are complete."""
    part = out.with_name(f".{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    with (work / REJECTED_FILE).open("w", encoding="utf-8") as rejected, ShardWriter(part, samples_per_shard) as writer:
        for raw, planned in _with_pictures(folder, work / PLAN_FILE):
            conversations, regions = _conversations(planned, journal, report, rejected)
            if conversations:
                original, images = raw.parse()
                extra = {"pictures_of": original.source, "written_by": model}
                writer.write(Sample(raw.key, original.images, conversations, regions, "generated", extra), images)
                report.pictures_written += 1
                report.written.update(conversation.task for conversation in conversations)
    if not report.written:
        shutil.rmtree(part)
        found = f"no dialogue that passes the checks; rejected: {dict(report.rejected)}"
        remedy = f"look at {work / REJECTED_FILE}; a larger model may be needed"
        raise TriscopeError(str(out), found, "at least one", remedy)
    write_whole(part / REPORT_FILE, json.dumps(vars(report), indent=1, ensure_ascii=False))
    if out.exists():
        out.rmdir()
    part.rename(out)


def _conversations(
    planned: list[Planned], journal: Journal, report: Report, rejected: TextIO
) -> tuple[tuple[Conversation, ...], tuple[Region, ...]]:
    """The accepted dialogues of a picture, and the regions that they point at; the others go to the file of rejected ones."""
    conversations: list[Conversation] = []
    regions: list[Region] = []
    for dialogue in planned:
        reply = journal.reply(dialogue.request)
        if reply is None:
            continue
        try:
            if reply.cut_off:
                raise Rejected("cut_off", f"{reply.answer_tokens} tokens were not enough")
            turns = read_dialogue(reply.text, dialogue.asked)
        except Rejected as verdict:
            report.reject(dialogue, verdict)
            record = {"key": dialogue.key, "kind": dialogue.kind, "reason": verdict.reason, "detail": verdict.detail}
            record |= {"reply": reply.text, "facts": dialogue.facts}
            rejected.write(json.dumps(record, ensure_ascii=False) + "\n")
            continue
        conversations.append(Conversation(dialogue.kind, Level.REGION, _renumbered(turns, dialogue, regions)))
    return tuple(conversations), tuple(regions)


def _renumbered(turns: Sequence[Turn], dialogue: Planned, regions: list[Region]) -> tuple[Turn, ...]:
    """The turns with their regions added to the sample's, in the order in which they are pointed at."""
    boxes = dialogue.region_boxes()
    numbers: dict[str, int] = {}

    def number(mark: str) -> str:
        if mark not in numbers:
            region = Region(0, boxes[int(mark) - 1])
            if region not in regions:
                regions.append(region)
            numbers[mark] = regions.index(region) + 1
        return f"<region:{numbers[mark]}>"

    return tuple(Turn(MARKER.sub(lambda mark: number(mark[2]), turn.prompt), turn.answers) for turn in turns)


def _with_pictures(folder: Path, plan: Path) -> Iterator[tuple[RawSample, list[Planned]]]:
    """The samples of a set that dialogues are planned for, with these; both are in the same order."""
    samples = iter(ShardSet.open(folder))
    for key, planned in groupby(read_plan(plan), key=lambda dialogue: dialogue.key):
        yield next(raw for raw in samples if raw.key == key), list(planned)


def _by_examples(kinds: Counter[str]) -> float:
    """Tokens that answers would take if they were as long as our examples."""
    characters = {
        kind: sum(len(text) for example in EXAMPLES[kind] for turn in example.turns for text in turn) / len(EXAMPLES[kind])
        for kind in kinds
    }
    return sum(count * characters[kind] for kind, count in kinds.items()) / CHARACTERS_A_TOKEN
