"""PVIT's central claim at small scale: does a language model that is shown regions as tokens name them better than one that is
told their coordinates?

    python -m data_pipelines scenes --split train --count 10000 --out data/scenes/train     (val and test likewise)
    python -m benchmarks.region_tokens --out runs/region_tokens

The arms share recipe (`pvit_2_instruction`), data, order, steps and seeds, and differ in how a region is shown. Coordinates need
no region encoder: in that arm it is given nothing to read and learns nothing. All start from an image projector that has learned
to name what covers its cells, and from the language model's weights; the paper's start from LLaVA.
"""

import argparse
import json
from pathlib import Path

from benchmarks.naming import named_start
from triscope.app.arms import Arm, compare, on_sets

RECIPES = Path("conf/recipe")
TASKS = ("recognition", "description")  # those of the scenes whose questions show a region
ARMS = (
    Arm("tokens", ("--data.prompt_style.regions", "token")),
    Arm("coordinates", ("--data.prompt_style.regions", "text")),
    Arm("both", ("--data.prompt_style.regions", "both")),
)


def shared_arguments(model: str, data: Path, steps: int) -> list[str]:
    """What all arms have in common."""
    return [
        *("-c", str(RECIPES / "pvit_2_instruction.yaml"), "-c", str(RECIPES / "on_scenes.yaml")),
        *("--model.init_args.model", model, *on_sets(data, "scenes", steps), "--data.tasks", json.dumps(TASKS)),
        *("--data.prompt_style.tags", "none", "--model.init_args.warmup_steps", str(max(1, steps // 10))),
    ]


def main(arguments: list[str] | None = None) -> None:
    """Train, test, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for runs, arms.md and arms.json")
    parser.add_argument("--model", default="conf/model/pvit_micro.yaml", help="default: %(default)s")
    parser.add_argument("--data", type=Path, default=Path("data/scenes"), help="with train, val and test (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=1000, help="of every run (default: %(default)s)")
    parser.add_argument("--naming_steps", type=int, default=1000, help="of the naming before (default: %(default)s)")
    parser.add_argument("--samples_per_batch", type=int, default=16, help="default: %(default)s")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="default: 0 1 2")
    asked, more = parser.parse_known_args(arguments)
    more += ["--data.samples_per_batch", str(asked.samples_per_batch)]
    start = named_start(asked.out / "naming", asked.model, asked.data, asked.naming_steps, ["image_projector"], more)
    shared = [*shared_arguments(asked.model, asked.data, asked.steps), *start, *more]
    print(compare(ARMS, shared, asked.seeds, asked.out))


if __name__ == "__main__":
    main()
