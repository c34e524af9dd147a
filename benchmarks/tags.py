"""LION's claim about tags at small scale: no tags, a hard prompt and a soft one, where a share of the tags is wrong.

    python -m benchmarks.tags

composes scenes whose taggers take a share of the names for others, trains LION's image-level stage on each with each kind of
prompt and several seeds, and writes `tags.md` and `tags.png`, and all scores of each share of wrong tags beside its runs. In a
set, the three kinds of prompt see the same scenes with the same tags; sets differ in their tags, and in what is asked about the
same scenes. All runs start from a Q-Former that has learned to name what covers its cells.

Source: Chen et al., "LION" (arXiv 2311.11860): a soft prompt lets the model use right tags and disregard wrong ones.
"""

import statistics
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

from benchmarks.study import TEST_SET, named_start, on_scenes, study_parser
from data_pipelines.write_scenes import write_scenes
from triscope.app.arms import Arm, compare, values_of
from triscope.data.folder import write_whole
from triscope.data.shard_index import INDEX_FILE

ARMS = tuple(Arm(tags, ("--data.prompt_style.tags", tags)) for tags in ("none", "hard", "soft"))
SCENES = {"train": 2400, "val": 32, "test": 200}
Values = dict[str, list[float]]  # of one score, by arm: one a seed


def main(arguments: list[str] | None = None) -> None:
    """Entry point; arguments that are not known here go to `triscope fit`."""
    parser = study_parser("benchmarks.tags", __doc__, "conf/model/lion_micro.yaml", data=None, steps=300)
    parser.add_argument("--wrong", type=float, nargs="+", default=[0.0, 0.2, 0.4, 0.6], metavar="SHARE", help="of the tags")
    parser.add_argument("--train_scenes", type=int, default=SCENES["train"], help="(default: %(default)s)")
    parser.add_argument("--test_scenes", type=int, default=SCENES["test"], help="(default: %(default)s)")
    parser.add_argument("--score", default="image/caption_noun_f1", help="shown in the table and the plot (default: %(default)s)")
    asked, fit = parser.parse_known_args(arguments)
    counts = {"train": asked.train_scenes, "val": SCENES["val"], "test": asked.test_scenes}
    measured: dict[float, Values] = {}
    for share in asked.wrong:
        folder = asked.out / f"wrong_{round(100 * share)}"
        scenes = folder / "scenes"
        compose(scenes, share, counts)
        start = named_start(asked.out / "naming", asked.model, scenes, asked.naming_steps, ["qformer"], fit)
        shared = [*on_scenes("lion_1_image", asked.model, scenes, asked.steps), *start, *fit]
        compare(ARMS, shared, asked.seeds, folder)
        measured[share] = values_of(folder, f"{TEST_SET}: {asked.score}")
    write_report(asked.out, measured, asked.score)
    print((asked.out / "tags.md").read_text())


def compose(folder: Path, share: float, counts: dict[str, int]) -> None:
    """Scenes of every split whose tagger misses and mistakes a share of the names, unless they are there."""
    for split, count in counts.items():
        if not (folder / split / INDEX_FILE).is_file():
            write_scenes(folder / split, split, count, missing_tags=share, wrong_tags=share)


def write_report(folder: Path, measured: dict[float, Values], score: str) -> None:
    """Write table and plot of one score."""
    write_whole(folder / "tags.md", table(measured, score))
    figure, axes = pyplot.subplots(figsize=(5, 3.5), layout="constrained")
    shares = list(measured)
    for arm in (arm.name for arm in ARMS):
        of_arm = [measured[share][arm] for share in shares]
        (line,) = axes.plot(shares, [statistics.fmean(values) for values in of_arm], label=arm)
        for share, values in zip(shares, of_arm, strict=True):
            axes.plot([share] * len(values), values, ".", color=line.get_color())
    axes.set(xlabel="wrong tags", ylabel=score)
    axes.legend(title="tags in the prompt")
    figure.savefig(folder / "tags.png", dpi=150)
    pyplot.close(figure)


def table(measured: dict[float, Values], score: str) -> str:
    """A line a share of wrong tags, a column a kind of prompt: mean over the seeds, and lowest to highest."""
    names = [arm.name for arm in ARMS]
    lines = [f"| {score}, by wrong tags | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    lines += [f"| {share:.0%} | {' | '.join(told(values[name]) for name in names)} |" for share, values in measured.items()]
    return "\n".join(lines) + "\n"


def told(values: list[float]) -> str:
    """`0.478 (0.420-0.528)`: mean, and lowest to highest of several."""
    spread = f" ({min(values):.3f}-{max(values):.3f})" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.3f}{spread}"


if __name__ == "__main__":
    main()
