"""What makes a small LION learn to point: one knob at a time, at the same number of steps.

    python -m data_pipelines scenes --split train --count 10000 --out data/scenes/train     (val and test likewise)
    python -m benchmarks.pointing --out runs/pointing

Every arm is LION's stage 2 on questions that are answered by a box or ask about one. `plain` is the recipe as it is. `named`
starts from an aggregator that has learned to name what covers its cells, which is trained first and costs no pass through the
language model; the arms behind it change one thing more.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.naming import named_start
from triscope.app.arms import Arm, compare, on_sets

RECIPES = Path("conf/recipe")
TASKS = ("pointing", "pointing_attribute", "pointing_relation", "recognition", "description")
LORA = {"rank": 8, "alpha": 16, "dropout": 0.0, "modules": ["q_proj", "v_proj"]}


def arms(start: Sequence[str]) -> tuple[Arm, ...]:
    """The arms.

    Args:
        start: arguments that let a run start from an aggregator that has learned to name things.
    """
    model = "--model.init_args.model.init_args"
    return (
        Arm("plain", ()),
        Arm("named", tuple(start)),
        Arm("named_lora", (*start, f"{model}.language.init_args.lora", json.dumps(LORA))),
        Arm("named_unpooled", (*start, f"{model}.vision.init_args.pool", "1")),
        Arm("named_percent", (*start, "--data.prompt_style.box_format", "percent")),
    )


def shared_arguments(model: str, data: Path, steps: int) -> list[str]:
    """What all arms have in common."""
    return [
        *("-c", str(RECIPES / "lion_2_region.yaml"), "-c", str(RECIPES / "on_scenes.yaml"), "--model.init_args.model", model),
        *(*on_sets(data, "scenes", steps), "--data.tasks", json.dumps(TASKS)),
        *("--data.prompt_style.tags", "none", "--model.init_args.warmup_steps", str(max(1, steps // 10))),
    ]


def main(arguments: list[str] | None = None) -> None:
    """Train, test, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for runs, arms.md and arms.json")
    parser.add_argument("--model", default="conf/model/lion_micro.yaml", help="default: %(default)s")
    parser.add_argument("--data", type=Path, default=Path("data/scenes"), help="with train, val and test (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=1000, help="of every run (default: %(default)s)")
    parser.add_argument("--naming_steps", type=int, default=1000, help="of the naming before (default: %(default)s)")
    parser.add_argument("--samples_per_batch", type=int, default=16, help="default: %(default)s")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="default: 0 1 2")
    asked, more = parser.parse_known_args(arguments)
    more += ["--data.samples_per_batch", str(asked.samples_per_batch)]
    start = named_start(asked.out / "naming", asked.model, asked.data, asked.naming_steps, ["aggregator"], more)
    shared = [*shared_arguments(asked.model, asked.data, asked.steps), *more]
    print(compare(arms(start), shared, asked.seeds, asked.out))


if __name__ == "__main__":
    main()
