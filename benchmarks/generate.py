"""Tokens a second that `predict` writes, beside `generate` of Hugging Face's InstructBLIP, at the same weights and prompts.

    python -m benchmarks.generate             a table
    python -m benchmarks.generate --json      all figures, with `ratios`

Both write greedily, with a cache of keys and values, a batch at a time, and always as many tokens: the end of text is no word of
theirs. Before anything is timed, both must write the same. One thread; see `benchmarks.measure`.
"""

import argparse
import json
import statistics
from typing import Any

import torch

from benchmarks.lion_by_hugging_face import inputs_of, levels_of
from benchmarks.lion_pair import Work, copy_weights, hugging_face_model, our_model
from benchmarks.measure import clock_of, in_turns, machine, ratio
from benchmarks.train_step import KINDS, SIZES

NEVER = 10**6  # the id of an end of text that no model writes


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--sizes", choices=SIZES, help="of the models (default: small on a CPU, lion_4b on a GPU)")
    parser.add_argument("--rows", type=int, default=12, help="of a batch, a multiple of 6 (default: %(default)s)")
    parser.add_argument("--tokens", type=int, default=32, help="that are written of each row (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="that are timed (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    sizes = SIZES[asked.sizes or ("small" if asked.device == "cpu" else "lion_4b")]
    figures = [
        {"kind": kind} | measured(Work(3, questions, asked.rows, sizes, asked.device), asked.tokens, asked.rounds)
        for kind, questions in KINDS.items()
    ]
    ratios = {"generate": statistics.geometric_mean([figure["speed_ratio"]["median"] for figure in figures])}
    if asked.json:
        print(json.dumps({"ratios": ratios, "figures": figures, "machine": machine(asked.device)}, indent=1))
        return
    print("| questions a picture | tokens/s, ours | tokens/s, Hugging Face | ratio (lowest to highest) |\n|---|---|---|---|")
    for figure in figures:
        rates, faster = figure["tokens_per_second"], figure["speed_ratio"]
        print(
            f"| {KINDS[figure['kind']]} | {rates['ours']['median']:.1f} | {rates['hugging_face']['median']:.1f} "
            f"| {faster['median']:.2f} ({faster['lowest']:.2f} to {faster['highest']:.2f}) |"
        )
    print(f"\ngeometric mean: {ratios['generate']:.2f}\n{', '.join(f'{k} {v}' for k, v in machine(asked.device).items())}")


def measured(work: Work, tokens: int, rounds: int) -> dict[str, Any]:
    """Both ways of writing, in turns.

    Raises:
        ValueError: they write different things.
    """
    theirs, ours = hugging_face_model(work).eval(), our_model(work).eval()
    copy_weights(theirs, ours)
    for language in (theirs.language_model, ours.language.model):
        language.generation_config.eos_token_id = NEVER
    batch = work.batch().to(work.device)
    inputs = inputs_of(work.batch(), work.sizes.vocabulary - 1, work.sizes.image_tokens(work.stage), padding=0)
    inputs = {name: tensor.to(work.device) for name, tensor in inputs.items() if name != "labels"}
    theirs.level_B = levels_of(batch, theirs.additions.levels)

    def we_write() -> list[list[int]]:
        with work.precision():
            return ours.generate(batch, max_new_tokens=tokens)

    def they_write() -> list[list[int]]:
        with work.precision():
            written = theirs.generate(**inputs, max_new_tokens=tokens, do_sample=False, num_beams=1, use_cache=True)
        return [ids[1 : 1 + tokens] for ids in written.tolist()]  # behind the start token

    check_same(we_write(), they_write())
    timings = in_turns({"ours": we_write, "hugging_face": they_write}, rounds, clock_of(work.device))
    count = work.rows * tokens
    return {
        "rows": work.rows,
        "tokens": tokens,
        "tokens_per_second": {name: timing.rate(count) for name, timing in timings.items()},
        "speed_ratio": ratio(timings["hugging_face"], timings["ours"]),
    }


def check_same(ours: list[list[int]], theirs: list[list[int]]) -> None:
    """Refuse to compare ways of writing that write different things. Ours ends at padding, which theirs goes on behind.

    Raises:
        ValueError: they do.
    """
    for row, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
        if mine != other[: len(mine)]:
            raise ValueError(f"row {row}: found {mine} and {other}; expected the same, as weights and prompts are")


if __name__ == "__main__":
    main()
