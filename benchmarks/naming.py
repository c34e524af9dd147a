"""The start that runs of small models share: bridges that have learned to name what covers their cells.

Without it a bridge takes most of a small budget to be read at all (docs/model.md), and arms would be compared before that.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from triscope.app.arms import on_sets
from triscope.cli import TriscopeCLI


def named_start(run: Path, model: str, data: Path, steps: int, parts: Sequence[str], more: Sequence[str] = ()) -> tuple[str, str]:
    """Train bridges to name things, unless the run is there, and say how other runs start from them.

    Args:
        run: folder of this training.
        model: configuration of the model.
        data: with the folders train, val and test; its samples tell of the things in their pictures.
        steps: of this training.
        parts: the bridges that others start from.
        more: arguments of `triscope fit` that those have as well.

    Returns:
        Arguments of `triscope fit`.
    """
    if not (run / "checkpoints" / "last.ckpt").exists():
        TriscopeCLI(
            [
                *("fit", "-c", "conf/recipe/lion_joint.yaml", "-c", "conf/recipe/on_scenes.yaml"),
                *("--model", "triscope.stages.NamingStage", "--model.init_args.model", model),
                *("--model.init_args.learning_rate", "2e-3", "--model.init_args.warmup_steps", str(max(1, steps // 10))),
                *(*on_sets(data, "scenes", steps), "--data.prompt_style.tags", "none", *more, "--run.folder", str(run)),
            ]
        )
    return "--model.init_args.warm_start", json.dumps([{"checkpoint": str(run), "parts": list(parts)}])
