"""Ranking a hundred answers to a question by their likelihood, all in one pass, beside scoring them one by one.

    python -m benchmarks.ranking             a table: a language model as T5 and one as Llama, small, with random weights
    python -m benchmarks.ranking --json      all figures, with `ratios`: how many times faster, of the medians

Both read the same question, as long as LION's with its picture, already encoded: the picture costs neither of them anything, and
would be encoded a hundred times one by one. Before anything is timed, both must give the same scores. One thread; see
`benchmarks.measure`.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch.testing import assert_close

from benchmarks.measure import clock_of, in_turns, machine, ratio
from triscope.components.candidates import log_likelihoods
from triscope.components.language import LanguageModel

GOAL = 5.0  # times faster at 100 candidates
LONGEST_ANSWER = 6  # tokens, the end token not counted
VOCABULARY, END = 1000, 1
SIZES = {
    "small": {"width": 256, "heads": 8, "feed_forward": 640, "layers": 4},
    "tiny": {"width": 32, "heads": 4, "feed_forward": 48, "layers": 2},
}


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--sizes", choices=SIZES, default="small", help="of the language models (default: %(default)s)")
    parser.add_argument("--candidates", type=int, default=100, help="of the question (default: %(default)s)")
    parser.add_argument("--prompt", type=int, default=320, help="tokens of the question, picture included (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="that are timed (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    figures = {kind: measured(kind, asked) for kind in ("t5", "llama")}
    ratios = {kind: figure["speed_ratio"]["median"] for kind, figure in figures.items()}
    if asked.json:
        print(json.dumps({"goal": GOAL, "ratios": ratios, "figures": figures, "machine": machine(asked.device)}, indent=1))
        return
    print("| language model | candidates/s, one pass | candidates/s, one by one | ratio (lowest to highest) |\n|---|---|---|---|")
    for kind, figure in figures.items():
        rates, faster = figure["candidates_per_second"], figure["speed_ratio"]
        print(
            f"| {kind} | {rates['one_pass']['median']:.0f} | {rates['one_by_one']['median']:.0f} "
            f"| {faster['median']:.1f} ({faster['lowest']:.1f} to {faster['highest']:.1f}) |"
        )
    print(f"\ngoal {GOAL:g}, {', '.join(f'{name} {value}' for name, value in machine(asked.device).items())}")


def measured(kind: str, asked: argparse.Namespace) -> dict[str, Any]:
    """Both ways of scoring the same answers, in turns.

    Raises:
        AssertionError: they give different scores.
    """
    torch.manual_seed(0)
    language = language_model(kind, **SIZES[asked.sizes]).to(asked.device).eval()
    question = {
        "embeddings_BTD": torch.randn(1, asked.prompt, language.width, device=asked.device),
        "valid_BT": torch.ones(1, asked.prompt, dtype=torch.bool, device=asked.device),
        "level_B": torch.ones(1, dtype=torch.long, device=asked.device),
    }
    lengths = torch.randint(1, LONGEST_ANSWER + 1, (asked.candidates,)).tolist()
    answers = [[*torch.randint(END + 1, VOCABULARY, (length,)).tolist(), END] for length in lengths]

    def one_pass() -> list[float]:
        return log_likelihoods(language, **question, answers=[answers])[0]

    def one_by_one() -> list[float]:
        return [log_likelihoods(language, **question, answers=[[answer]])[0][0] for answer in answers]

    assert_close(torch.tensor(one_pass()), torch.tensor(one_by_one()), rtol=1e-4, atol=1e-3)
    timings = in_turns({"one_pass": one_pass, "one_by_one": one_by_one}, asked.rounds, clock_of(asked.device), warm_up=0)
    return {
        "candidates": asked.candidates,
        "candidates_per_second": {name: timing.rate(asked.candidates) for name, timing in timings.items()},
        "speed_ratio": ratio(timings["one_by_one"], timings["one_pass"]),
    }


def language_model(kind: str, width: int, heads: int, feed_forward: int, layers: int) -> LanguageModel:
    """A language model of either kind with random weights and LION's adapters."""
    words = {"model_type": kind, "vocab_size": VOCABULARY, "eos_token_id": END, "pad_token_id": 0}
    sizes = {
        "t5": {"d_model": width, "d_kv": width // heads, "d_ff": feed_forward, "num_layers": layers, "num_heads": heads}
        | {"feed_forward_proj": "gated-gelu", "decoder_start_token_id": 0},
        "llama": {"hidden_size": width, "intermediate_size": feed_forward, "num_hidden_layers": layers}
        | {"num_attention_heads": heads},
    }
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(words | sizes[kind]))
        return LanguageModel(folder)


if __name__ == "__main__":
    main()
