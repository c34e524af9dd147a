"""The command line of `generate`."""

import argparse
from collections.abc import Callable
from pathlib import Path

from data_pipelines.generate.kinds import KINDS
from data_pipelines.language_models import Chat, Endpoint, LocalChat

EXAMPLES = """\
examples:
  what would it take? (asks nothing)
    python -m data_pipelines generate data/vg_objects data/vg_attributes data/vg_relationships --out data/written \\
        --endpoint https://api.openai.com/v1 --model gpt-4o-mini --prompt_price 0.15 --answer_price 0.60 --estimate
  ask, at 16 requests a time, and stop before it costs more than 20
    python -m data_pipelines generate data/coco_instances data/coco_captions --out data/written --concurrent 16 \\
        --endpoint https://api.openai.com/v1 --model gpt-4o-mini --prompt_price 0.15 --answer_price 0.60 --max_cost 20
  a model of one's own, by a server or in this process
    python -m data_pipelines generate data/coco_instances data/coco_captions --out data/written \\
        --endpoint http://localhost:8000/v1 --model Qwen/Qwen2.5-7B-Instruct
    python -m data_pipelines generate data/coco_instances data/coco_captions --out data/written \\
        --model Qwen/Qwen2.5-7B-Instruct --device cuda:0

The key of an endpoint is read from the environment variable OPENAI_API_KEY. Stopped at any moment and typed again, a command
goes on: answers are kept in --work and are not asked for again."""


def add_options(command: argparse.ArgumentParser, positive: Callable[[str], int]) -> None:
    """The options of `generate`; `positive` reads numbers from 1."""
    command.add_argument(
        "folders", type=Path, nargs="+", metavar="FOLDER", help="of shards: the pictures, then more facts about the same pictures"
    )
    command.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="for the shards; must be empty")
    command.add_argument("--work", type=Path, metavar="FOLDER", help="for plan, answers and rejected ones (default: OUT.work)")
    command.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="of dialogues (default: all)")
    command.add_argument("--count", type=positive, metavar="N", help="at most so many dialogues of each kind (default: no limit)")
    command.add_argument(
        "--per_picture", type=positive, default=1, metavar="N", help="dialogues, each of another kind (default: 1)"
    )
    command.add_argument("--seed", type=int, default=0, help="of the choice and the answers (default: %(default)s)")

    model = command.add_argument_group("model")
    model.add_argument("--model", required=True, help="its name at the endpoint; else a Hugging Face model or its folder")
    model.add_argument("--endpoint", metavar="URL", help="OpenAI-compatible, such as http://localhost:8000/v1")
    model.add_argument("--device", default="cpu", help="of a model in this process, such as cuda:0 (default: %(default)s)")
    model.add_argument(
        "--concurrent", type=positive, default=8, metavar="N", help="requests at a time, or of a batch (default: %(default)s)"
    )
    model.add_argument("--max_tokens", type=positive, default=1000, metavar="N", help="of an answer (default: %(default)s)")
    model.add_argument("--temperature", type=float, default=0.7, metavar="T", help="of the sampling (default: %(default)s)")
    model.add_argument("--timeout", type=float, default=120.0, metavar="SECONDS", help="of an attempt (default: %(default)s)")
    model.add_argument("--attempts", type=positive, default=6, metavar="N", help="at a request (default: %(default)s)")
    model.add_argument(
        "--unanswered_allowed", type=int, default=10, metavar="N", help="stop when more stay so (default: %(default)s)"
    )

    cost = command.add_argument_group("cost")
    cost.add_argument("--prompt_price", type=float, default=0.0, metavar="P", help="of a million tokens read (default: 0)")
    cost.add_argument("--answer_price", type=float, default=0.0, metavar="P", help="of a million tokens written (default: 0)")
    cost.add_argument("--max_cost", type=float, metavar="C", help="of all answers in --work; nothing is asked beyond it")
    cost.add_argument("--estimate", action="store_true", help="say what it would take, and ask nothing")


def run_generate(parsed: argparse.Namespace) -> int:
    """`generate`: dialogues about regions, written by a language model."""
    from data_pipelines.generate.run import Choice, Prices, estimate, generate

    work = parsed.work or parsed.out.with_name(f"{parsed.out.name}.work")
    choice = Choice(tuple(KINDS[name] for name in parsed.kinds), parsed.per_picture, parsed.count, parsed.seed)
    prices = Prices(parsed.prompt_price, parsed.answer_price)
    if parsed.estimate:
        print(estimate(parsed.folders, work, _chat(parsed), choice).text(prices))
        return 0
    report = generate(
        parsed.folders,
        parsed.out,
        work,
        _chat(parsed),
        choice,
        prices,
        parsed.max_cost,
        parsed.unanswered_allowed,
        parsed.samples_per_shard,
    )
    print(report.text())
    return 0


def _chat(parsed: argparse.Namespace) -> Chat:
    if parsed.endpoint:
        return Endpoint(
            parsed.endpoint,
            parsed.model,
            parsed.concurrent,
            parsed.max_tokens,
            parsed.temperature,
            parsed.attempts,
            timeout_seconds=parsed.timeout,
        )
    return LocalChat(parsed.model, parsed.device, parsed.concurrent, parsed.max_tokens, parsed.temperature)
