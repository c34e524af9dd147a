"""What the studies of small models share: options, recipe, and bridges that have learned to name what covers their cells.

Without this start a bridge takes most of a small budget to be read at all (docs/model.md), and arms would be compared before.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from triscope.cli import TriscopeCLI

TEST_SET = "scenes"  # under which all studies report


def study_parser(module: str, purpose: str, model: str, data: str | None, steps: int = 1000) -> argparse.ArgumentParser:
    """The options that every study has. What is not known here goes to `triscope fit`.

    Args:
        module: of the study, as in `python -m benchmarks.tags`.
        purpose: what it shows; its docstring.
        model: default of `--model`.
        data: default of `--data`; None for a study that composes its own.
        steps: default of `--steps`.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m {module}",
        description=purpose,
        epilog="Any other option is one of `triscope fit`.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    out = Path("runs") / module.rpartition(".")[-1]
    parser.add_argument(
        "--out", type=Path, default=out, metavar="FOLDER", help="for runs, tables and pictures (default: %(default)s)"
    )
    parser.add_argument("--model", default=model, help="default: %(default)s")
    if data is not None:
        parser.add_argument("--data", type=Path, default=Path(data), help="with train, val and test (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=steps, help="of every run (default: %(default)s)")
    parser.add_argument("--naming_steps", type=int, default=1000, help="of the naming before (default: %(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="default: 0 1 2")
    return parser


def on_scenes(recipe: str, model: str, data: Path, steps: int) -> list[str]:
    """Arguments of `triscope fit` that the arms of a study share: a recipe, a model, data and a budget; no tags.

    Args:
        recipe: name of a file in conf/recipe.
        model: file of its configuration.
        data: with the folders train, val and test.
        steps: of every run.
    """
    return [
        *("-c", f"conf/recipe/{recipe}.yaml", "-c", "conf/recipe/on_scenes.yaml", "--model.init_args.model", model),
        *("--model.init_args.warmup_steps", str(max(1, steps // 10)), "--run.wandb", "disabled"),
        *(
            "--trainer.max_steps",
            str(steps),
            "--trainer.val_check_interval",
            str(steps),
            "--trainer.check_val_every_n_epoch",
            "null",
        ),
        *("--trainer.log_every_n_steps", str(max(1, min(20, steps))), "--data.prompt_style.tags", "none"),
        *("--data.train", json.dumps({str(data / "train"): 1.0}), "--data.validation", json.dumps({TEST_SET: str(data / "val")})),
        *("--data.test", json.dumps({TEST_SET: str(data / "test")})),
    ]


def named_start(run: Path, model: str, data: Path, steps: int, parts: Sequence[str], more: Sequence[str] = ()) -> tuple[str, str]:
    """Train bridges to name things, unless the run is there, and say how other runs start from them.

    Args:
        run: folder of this training.
        model: file of the model's configuration.
        data: with the folders train, val and test; its samples tell of the things in their pictures.
        steps: of this training.
        parts: the bridges that others start from.
        more: arguments of `triscope fit` that those have as well.

    Returns:
        Arguments of `triscope fit`.
    """
    if not (run / "checkpoints" / "last.ckpt").exists():
        naming = ("--model", "triscope.stages.NamingStage", "--model.init_args.learning_rate", "2e-3")
        TriscopeCLI(["fit", *on_scenes("lion_joint", model, data, steps), *naming, *more, "--run.folder", str(run)])
    return "--model.init_args.warm_start", json.dumps([{"checkpoint": str(run), "parts": list(parts)}])
