"""PVIT's central claim at small scale: does a language model that is shown regions as tokens name them better than one that is
told their coordinates?

    python -m data_pipelines scenes --split train --count 10000 --out data/scenes/train     (val and test likewise)
    python -m benchmarks.region_tokens

The arms share recipe (`pvit_2_instruction`), data, order, steps and seeds, and differ in how a region is shown. Coordinates need
no region encoder: in that arm it is given nothing to read and learns nothing. All start from an image projector that has learned
to name what covers its cells, and from the language model's weights; the paper's start from LLaVA.
"""

import json

from benchmarks.study import named_start, on_scenes, study_parser
from triscope.app.arms import Arm, compare

TASKS = ("recognition", "description")  # those of the scenes whose questions show a region
ARMS = (
    Arm("tokens", ("--data.prompt_style.regions", "token")),
    Arm("coordinates", ("--data.prompt_style.regions", "text")),
    Arm("both", ("--data.prompt_style.regions", "both")),
)


def main(arguments: list[str] | None = None) -> None:
    """Train, test, print the table."""
    asked, more = study_parser("benchmarks.region_tokens", __doc__, "conf/model/pvit_micro.yaml", "data/scenes").parse_known_args(
        arguments
    )
    start = named_start(asked.out / "naming", asked.model, asked.data, asked.naming_steps, ["image_projector"], more)
    shared = [
        *on_scenes("pvit_2_instruction", asked.model, asked.data, asked.steps),
        "--data.tasks",
        json.dumps(TASKS),
        *start,
        *more,
    ]
    print(compare(ARMS, shared, asked.seeds, asked.out))


if __name__ == "__main__":
    main()
