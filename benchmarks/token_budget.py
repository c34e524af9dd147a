"""What a batch of so many tokens, and not of so many samples, could give at most: how much GPUs wait for the longest batch.

    python -m benchmarks.token_budget
    python -m benchmarks.token_budget --gpus 64

Rows are read without padding, so what one GPU does takes as long as there are tokens, however they are dealt. With several, each
step takes as long as the longest of their batches: told is by how much that is longer than the mean. Rows are as long as in
`benchmarks.lion_rows`, with as many tokens of a picture as LION-4B has. Nothing is timed.
"""

import argparse

from benchmarks.lion_pair import LION_4B
from benchmarks.lion_rows import rows_of
from benchmarks.train_step import KINDS

SMALL_SIDE = 14  # of the pictures, which nobody looks at here


def main(arguments: list[str] | None = None) -> None:
    """Count, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=16, help="of a batch (default: %(default)s)")
    parser.add_argument("--gpus", type=int, default=8, help="with a batch each (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=50, help="that are counted (default: %(default)s)")
    asked = parser.parse_args(arguments)
    print("| stage | questions a picture | tokens of a batch | the longest of a step has more than the mean |\n|---|---|---|---|")
    for stage in (1, 2, 3):
        for questions in KINDS.values():
            mean, longest = tokens(stage, questions, asked.samples, asked.gpus, asked.steps)
            print(f"| {stage} | {questions} | {mean:,.0f} | {longest / mean - 1:.1%} |", flush=True)


def tokens(stage: int, questions: int, samples: int, gpus: int, steps: int) -> tuple[float, float]:
    """Tokens of a batch: the mean of all, and the mean of the longest of each step."""
    words = LION_4B.vocabulary, LION_4B.question_vocabulary
    rows = rows_of(stage, samples * gpus * steps, questions, SMALL_SIDE, *words)
    tokens_B = rows.valid_BT.sum(1) + LION_4B.image_tokens(stage) - 1  # in the place of a placeholder
    tokens_of_batches = tokens_B.view(steps, gpus, samples * questions).sum(2).float()
    return float(tokens_of_batches.mean()), float(tokens_of_batches.max(1).values.mean())


if __name__ == "__main__":
    main()
