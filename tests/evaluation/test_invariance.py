"""What a model is worth does not depend on how it is asked: batch, order, parts of a batch, processes, side of the padding."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.data.tiny import jpeg, sample
from tests.ranks import on_ranks
from tests.tiny_model import awake, batch_of, prepare, tiny_data, tiny_model, tiny_trainer
from triscope.data.asking import BenchmarkSet
from triscope.data.sample import Conversation, Level, Sample, Turn
from triscope.data.shard_writer import ShardWriter
from triscope.distributed import ShardedStrategy
from triscope.evaluation.results import summarise
from triscope.stages import MixtureStage

KINDS = pytest.mark.parametrize("kind", ["llama", "t5"])
BENCHMARKS = {"written": "gqa", "ranked": "a_okvqa_choice", "several": "nlvr2"}
WORDS = ("dog", "the cat", "left and right", "two dog and three cat", "yes")
Answers = dict[tuple[str, str, str], tuple[str, tuple[float, ...]]]  # by set, control and key


def samples() -> list[Sample]:
    """Seven, some with two pictures; questions and lists of answers of other lengths for each."""

    def asked(number: int) -> list[Conversation]:
        question = "What is this? " + "and " * number
        right = WORDS[number % len(WORDS)]
        talks = [
            Conversation("exact_question", Level.IMAGE, (Turn(question, (right,)),)),
            Conversation("choice", Level.IMAGE, (Turn(question, (right,), (*WORDS[: 2 + number % 4], right)),)),
        ]
        statement = Turn("<image:1> <image:2> yes or no?", ("yes",), ("yes", "no"), content=f"dog {question}")
        return talks + ([Conversation("statement", Level.IMAGE, (statement,))] if number % 2 else [])

    return [sample(f"s{number}", asked(number), images=1 + number % 2, tags=["dog"]) for number in range(7)]


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """Frozen bases of both kinds, and the samples in two orders."""
    folder = prepare(tmp_path_factory.mktemp("base"))
    prepare(folder, "t5")
    for name, order in (("there", samples()), ("back", samples()[::-1])):
        with ShardWriter(folder / name, 4) as writer:
            for each in order:
                shade = 30 * int(each.key[1:])
                writer.write(each, [jpeg(shade + 15 * image) for image in range(len(each.images))])
    return folder


def answers(base: Path, folder: Path, kind: str, shards: str = "there", strategy: Any = "auto", **options: Any) -> Answers:
    """Every answer of a test, under every control."""
    torch.manual_seed(3)
    stage = MixtureStage(lambda: awake(tiny_model(base, kind)))
    sets = {name: BenchmarkSet(str(base / shards), benchmark) for name, benchmark in BENCHMARKS.items()}
    data = tiny_data(str(base / shards), **{"samples_per_batch": 3, "test": sets, "validation": None, **options})
    trainer = tiny_trainer(folder, devices=1 if strategy == "auto" else 2, strategy=strategy)
    trainer.test(stage, datamodule=data, verbose=False)
    return {
        (name, control, answer.row.key): (answer.text, answer.log_likelihoods)
        for name, by_control in stage.predictions.items()
        for control, given in by_control.items()
        for answer in given
    }


def same(found: Answers, expected: Answers) -> None:
    """The same questions, the same answers, and likelihoods but for rounding."""
    assert found.keys() == expected.keys()
    assert {key: text for key, (text, _) in found.items()} == {key: text for key, (text, _) in expected.items()}
    for key, (_, likelihoods) in expected.items():
        assert found[key][1] == pytest.approx(likelihoods, rel=1e-4, abs=1e-3)


@pytest.fixture(scope="module")
def usual(base, tmp_path_factory) -> dict[str, Answers]:
    """What one process says in batches of three."""
    return {kind: answers(base, tmp_path_factory.mktemp("usual"), kind) for kind in ("llama", "t5")}


@KINDS
@pytest.mark.parametrize("options", [{"samples_per_batch": 1}, {"samples_per_batch": 7}, {"evaluation_rows": 2}], ids=str)
def test_the_size_of_a_batch_and_its_parts_change_no_answer(base, usual, tmp_path, kind, options):
    assert {control for _, control, _ in usual[kind]} >= {"", "blind", "shuffled", "reordered", "last_only"}
    same(answers(base, tmp_path, kind, **options), usual[kind])


@KINDS
def test_the_order_of_the_samples_changes_no_answer(base, usual, tmp_path, kind):
    """But to shuffled pictures, which are those of the sample before."""

    def plain(found: Answers) -> Answers:
        return {key: given for key, given in found.items() if key[1] != "shuffled"}

    same(plain(answers(base, tmp_path, kind, shards="back")), plain(usual[kind]))


@KINDS
@pytest.mark.parametrize("strategy", ["ddp", "sharded"])
def test_the_number_of_processes_changes_no_answer(base, usual, tmp_path, kind, strategy):
    def of_rank(rank: int) -> Answers:
        sharded = ShardedStrategy(process_group_backend="gloo")
        return answers(base, tmp_path / "run", kind, strategy="ddp" if strategy == "ddp" else sharded)

    for found in on_ranks(2, tmp_path / "ranks", of_rank):
        same(found, usual[kind])


@KINDS
def test_the_side_of_the_padding_changes_no_likelihood(base, kind):
    model = awake(tiny_model(base, kind)).eval()
    batch = batch_of(model, samples())
    ids = [[[5, 6, 2], [7, 2]]] * len(batch)

    def ranked() -> list[list[float]]:
        return model.rank(batch, ids)

    right, original = ranked(), model.fused
    model.fused = lambda batch, kept_BT: original(batch, kept_BT, align_right=True)  # type: ignore[method-assign]
    assert torch.tensor(ranked()) == pytest.approx(torch.tensor(right), rel=1e-4, abs=1e-3)


def test_scores_do_not_depend_on_the_order_of_the_answers(base, tmp_path):
    stage = MixtureStage(lambda: awake(tiny_model(base)))
    sets = {name: BenchmarkSet(str(base / "there"), benchmark) for name, benchmark in BENCHMARKS.items()}
    tiny_trainer(tmp_path).test(stage, datamodule=tiny_data(str(base / "there"), 3, test=sets), verbose=False)

    def backwards(given: Sequence) -> list:
        return list(reversed(given))

    for by_control in stage.predictions.values():
        assert summarise({control: backwards(given) for control, given in by_control.items()}) == summarise(by_control)
