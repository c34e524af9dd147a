"""LION's claim about tags at small scale: no tags, a hard prompt and a soft one, where a share of the tags is wrong.

    python -m benchmarks.tags --out runs/tags

composes scenes whose taggers take a share of the names for others, trains LION's image-level stage on each with each kind of
prompt and several seeds, and writes `tags.md`, `tags.json` and `tags.png`. In a set, the three kinds of prompt see the same
scenes with the same tags; sets differ in their tags, and in what is asked about the same scenes.

Source: Chen et al., "LION" (arXiv 2311.11860): a soft prompt lets the model use right tags and disregard wrong ones.
"""

import argparse
import json
from itertools import product
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

from benchmarks.arms import Measured, run_arm, table
from data_pipelines.write_scenes import write_scenes
from triscope.data.shards import INDEX_FILE, write_whole

ARMS = ("none", "hard", "soft")  # of `prompt_style.tags`
TEST_SET = "scenes"
SCENES = {"train": 2400, "val": 32, "test": 200}


def main(arguments: list[str] | None = None) -> None:
    """Entry point; arguments that are not known here go to `triscope fit`."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.tags",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--out", type=Path, default=Path("runs/tags"), metavar="FOLDER", help="(default: %(default)s)")
    parser.add_argument("--wrong", type=float, nargs="+", default=[0.0, 0.2, 0.4, 0.6], metavar="SHARE", help="of the tags")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each kind (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=300, help="of each run (default: %(default)s)")
    parser.add_argument("--train_scenes", type=int, default=SCENES["train"], help="(default: %(default)s)")
    parser.add_argument("--test_scenes", type=int, default=SCENES["test"], help="(default: %(default)s)")
    parser.add_argument("--score", default="image/caption_noun_f1", help="shown in the table and the plot (default: %(default)s)")
    parsed, fit = parser.parse_known_args(arguments)
    counts = {"train": parsed.train_scenes, "val": SCENES["val"], "test": parsed.test_scenes}
    measured = compare(parsed.out, parsed.wrong, parsed.seeds, parsed.steps, counts, fit)
    write_report(parsed.out, measured, parsed.score)
    print((parsed.out / "tags.md").read_text())


def compare(folder: Path, wrong: list[float], seeds: int, steps: int, counts: dict[str, int], fit: list[str]) -> Measured:
    """Train and test every arm at every share of wrong tags with every seed.

    Args:
        folder: for scenes and runs.
        wrong: shares of the names that the tagger takes for others.
        seeds: 0 to this number.
        steps: of each run.
        counts: scenes of each split.
        fit: further arguments of `triscope fit`, which come last.

    Returns:
        All scores by (share, arm), in the order of the seeds.
    """
    measured: Measured = {}
    for share, arm in product(wrong, ARMS):
        data = folder / f"scenes_{round(100 * share)}"
        for split, count in counts.items():
            if not (data / split / INDEX_FILE).is_file():
                write_scenes(data / split, split, count, missing_tags=share, wrong_tags=share)
        measured[f"{share:.0%}", arm] = [
            run_arm(
                [*fit_arguments(data, arm, steps), *fit], folder / f"{round(100 * share)}_{arm}_{seed}", seed, TEST_SET
            )
            for seed in range(seeds)
        ]
    return measured


def fit_arguments(data: Path, arm: str, steps: int) -> list[str]:
    """The image-level stage on scenes, with one kind of prompt."""
    return [
        *("-c", "conf/recipe/lion_1_image.yaml", "-c", "conf/recipe/on_scenes.yaml"),
        *("--model.init_args.model", "conf/model/lion_micro.yaml", "--data.prompt_style.tags", arm),
        *("--trainer.max_steps", str(steps), "--trainer.val_check_interval", str(steps)),
        *("--trainer.check_val_every_n_epoch", "null", "--trainer.log_every_n_steps", str(max(1, min(20, steps)))),
        *("--data.train", json.dumps({str(data / "train"): 1.0}), "--data.validation", json.dumps({TEST_SET: str(data / "val")})),
        *("--data.test", json.dumps({TEST_SET: str(data / "test")})),
    ]


def write_report(folder: Path, measured: Measured, score: str) -> None:
    """Write table, scores and plot."""
    seeds = len(next(iter(measured.values())))
    head = f"Wrong tags from top to bottom, kind of prompt from left to right; mean over {seeds} seed(s), lowest to highest.\n\n"
    write_whole(folder / "tags.md", head + table(measured, ARMS, score) + "\n")
    scores = {f"{share} {arm}": found for (share, arm), found in measured.items()}
    write_whole(folder / "tags.json", json.dumps(scores, indent=1) + "\n")
    figure, axes = pyplot.subplots(figsize=(5, 3.5), layout="constrained")
    for arm in ARMS:
        points = [(share, [each[score] for each in found]) for (share, kind), found in measured.items() if kind == arm]
        (line,) = axes.plot([share for share, _ in points], [sum(values) / seeds for _, values in points], label=arm)
        for share, values in points:
            axes.plot([share] * seeds, values, ".", color=line.get_color())
    axes.set(xlabel="wrong tags", ylabel=score)
    axes.legend(title="tags in the prompt")
    figure.savefig(folder / "tags.png", dpi=150)
    pyplot.close(figure)


if __name__ == "__main__":
    main()
