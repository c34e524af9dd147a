"""What makes a small LION learn to point: one knob at a time, at the same number of steps.

    python -m data_pipelines scenes --split train --count 10000 --out data/scenes/train     (val and test likewise)
    python -m benchmarks.pointing

Every arm is LION's stage 2 on questions that are answered by a box or ask about one. `plain` is the recipe as it is. `named`
starts from an aggregator that has learned to name what covers its cells, which is trained first and costs no pass through the
language model; the arms behind it change one thing more.
"""

import json
from collections.abc import Sequence

from benchmarks.study import named_start, on_scenes, study_parser
from triscope.app.arms import Arm, compare

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


def main(arguments: list[str] | None = None) -> None:
    """Train, test, print the table."""
    asked, more = study_parser("benchmarks.pointing", __doc__, "conf/model/lion_micro.yaml", "data/scenes").parse_known_args(
        arguments
    )
    start = named_start(asked.out / "naming", asked.model, asked.data, asked.naming_steps, ["aggregator"], more)
    shared = [*on_scenes("lion_2_region", asked.model, asked.data, asked.steps), "--data.tasks", json.dumps(TASKS), *more]
    print(compare(arms(start), shared, asked.seeds, asked.out))


if __name__ == "__main__":
    main()
