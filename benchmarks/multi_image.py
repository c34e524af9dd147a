"""SAM's central claim at small scale: do images that guide each other while they are read tell more than images read alone?

    python -m data_pipelines scenes --images several --split train --count 10000 --out data/albums/train  (val and test likewise)
    python -m benchmarks.multi_image
    python -m benchmarks.multi_image --heat_map

The arms share model, data, order, steps and seeds. `independent` has no link B back to the Q-Former, so that nothing of the other
images reaches what is read of one; A and the adaptive adjustment, which act through B alone, go with it. Both start from a
Q-Former that has learned to name what covers its cells, as no published one has this size; tower and language model are frozen.
`--heat_map` trains one arm for every pair of the layers l and k instead (the Q-Former takes part from l, is handed back at k) and
draws the scores.

Source: Wu et al., "Semantic Alignment for Multimodal Large Language Models" (SAM, arXiv 2408.12867).
"""

import statistics
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

import matplotlib
import yaml

matplotlib.use("Agg")
from matplotlib import pyplot

from benchmarks.study import TEST_SET, named_start, on_scenes, study_parser
from triscope.app.arms import NUMBERS_FILE, Arm, compare, values_of
from triscope.data.sample import Level
from triscope.stages import Stage

TASKS = ("shared_element", "story", "story_end")
Depths = tuple[int, int]  # l and k


class JointStage(Stage):
    """Q-Former and what aligns its images learn together. The published stage trains the alignment alone."""

    bridges = ("qformer",)
    levels = ()
    accepted_levels = (Level.IMAGE,)
    trained_parts = ("qformer", "alignment")


def main(arguments: list[str] | None = None) -> None:
    """Entry point; arguments that are not known here go to `triscope fit`."""
    parser = study_parser("benchmarks.multi_image", __doc__, "conf/model/sam_micro.yaml", "data/albums")
    parser.add_argument("--heat_map", action="store_true", help="l and k instead of the claim, into FOLDER/heat_map")
    parser.add_argument("--score", default="image/shared_element_acc", help="of the heat map (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print arms.json instead of the table")
    asked, fit = parser.parse_known_args(arguments)
    folder = asked.out / "heat_map" if asked.heat_map else asked.out
    folder.mkdir(parents=True, exist_ok=True)
    model = yaml.safe_load(Path(asked.model).read_text())
    arms = arms_by_depth(model, folder) if asked.heat_map else arms_of_the_claim(model, folder)
    start = named_start(asked.out / "naming", asked.model, asked.data, asked.naming_steps, ["qformer"], fit)
    shared = [*on_scenes("sam_multi_image", asked.model, asked.data, asked.steps), *joint_stage(folder), *start, *fit]
    table = compare(arms, shared, asked.seeds, folder)
    print((folder / NUMBERS_FILE).read_text() if asked.json else table)
    if asked.heat_map:
        means = {arm: statistics.fmean(values) for arm, values in values_of(folder, f"{TEST_SET}: {asked.score}").items()}
        draw(folder, {depths: means[name_of(depths)] for depths in all_depths(model)}, asked.score)


def arms_of_the_claim(model: dict[str, Any], folder: Path) -> list[Arm]:
    """The model as its file says, and without its alignment."""
    as_it_is = qformer_of(model)["alignment"]
    return [arm_of("aligned", model, as_it_is, folder), arm_of("independent", model, None, folder)]


def arms_by_depth(model: dict[str, Any], folder: Path) -> list[Arm]:
    """An arm for each l and k."""
    alignment = qformer_of(model)["alignment"]
    return [
        arm_of(
            name_of((read, guide)),
            model,
            {**alignment, "init_args": {**alignment["init_args"], "read_layer": read, "guide_layer": guide}},
            folder,
        )
        for read, guide in all_depths(model)
    ]


def all_depths(model: dict[str, Any]) -> list[Depths]:
    """Every l and k of the model's Q-Former, 1 <= l <= k <= its layers."""
    return list(combinations_with_replacement(range(1, qformer_of(model)["layers"] + 1), 2))


def name_of(depths: Depths) -> str:
    """Of an arm."""
    return "l{}_k{}".format(*depths)


def qformer_of(model: dict[str, Any]) -> dict[str, Any]:
    """Its arguments in a model's configuration."""
    return model["init_args"]["bridges"]["qformer"]["init_args"]


def arm_of(name: str, model: dict[str, Any], alignment: dict[str, Any] | None, folder: Path) -> Arm:
    """An arm whose Q-Former has this alignment; its model file is written into the folder."""
    parts = model["init_args"]
    qformer = {**parts["bridges"]["qformer"], "init_args": {**qformer_of(model), "alignment": alignment}}
    changed = {**model, "init_args": {**parts, "bridges": {**parts["bridges"], "qformer": qformer}}}
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(changed, sort_keys=False))
    return Arm(name, ("--model.init_args.model", str(file)))


def joint_stage(folder: Path) -> list[str]:
    """What all arms train, and what they are asked; the file that says so is written into the folder."""
    stage = folder / "stage.yaml"
    stage.write_text(yaml.safe_dump({"model": {"class_path": "benchmarks.multi_image.JointStage"}}))
    return [
        *("-c", str(stage), "--model.init_args.generation.max_new_tokens", "48"),
        *("--data.tasks", f"[{', '.join(TASKS)}]", "--data.prompt_style.placement", "inline"),
        *("--data.prompt_style.max_prompt_tokens", "256"),
    ]


def draw(folder: Path, scores: dict[Depths, float], score: str) -> None:
    """`heat_map.png` and `heat_map.svg`: k to the right, l upwards, a score in each field."""
    layers = max(guide for _, guide in scores)
    rows = [[scores.get((read, guide), float("nan")) for guide in range(1, layers + 1)] for read in range(1, layers + 1)]
    figure, axes = pyplot.subplots(figsize=(2 + 0.8 * layers, 1.5 + 0.7 * layers), layout="constrained")
    picture = axes.imshow(rows, origin="lower", extent=(0.5, layers + 0.5, 0.5, layers + 0.5), cmap="cividis")
    middle = (picture.norm.vmin + picture.norm.vmax) / 2
    for (read, guide), value in scores.items():
        color = "white" if value < middle else "black"
        axes.text(guide, read, f"{value:.3f}", ha="center", va="center", color=color)
    ticks = range(1, layers + 1)
    axes.set(xlabel="k (guided)", ylabel="l (read)", xticks=ticks, yticks=ticks)
    figure.colorbar(picture, label=score)
    for suffix in ("png", "svg"):
        figure.savefig(folder / f"heat_map.{suffix}", dpi=150)
    pyplot.close(figure)


if __name__ == "__main__":
    main()
