"""The table of parts that is printed before the first step."""

from collections import defaultdict
from pathlib import Path

import lightning.pytorch as lightning
from lightning.pytorch.utilities import rank_zero_info, rank_zero_only

from triscope.checkpoints.run import PARTS_FILE
from triscope.stages.base import Stage


class PartsTable(lightning.Callback):
    """Prints, and writes to `parts.txt`: every part, trained or frozen, its parameters, precision, learning rate and origin."""

    @rank_zero_only
    def on_fit_start(self, trainer: lightning.Trainer, stage: Stage) -> None:
        """Print the table once the optimizer is known."""
        table = parts_table(stage, trainer.optimizers[0].param_groups if trainer.optimizers else [])
        rank_zero_info(table)
        folder = Path(trainer.default_root_dir)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / PARTS_FILE).write_text(table + "\n")


def parts_table(stage: Stage, parameter_groups: list[dict]) -> str:
    """The parts of a stage's model as text, a line each and a total."""
    lines = parts_rows(stage, parameter_groups)
    trained = sum(parameter.numel() for _, parameter in stage.trained_parameters())
    total = sum(parameter.numel() for parameter in stage.model.parameters())
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    text = [" | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    text.insert(1, "-+-".join("-" * width for width in widths))
    return "\n".join([*text, f"{trained:,} of {total:,} parameters train ({trained / total:.1%})"])


def parts_rows(stage: Stage, parameter_groups: list[dict]) -> list[tuple[str, ...]]:
    """The heads of the table, then the cells of each part."""
    rate_of = {id(parameter): group.get("initial_lr", group["lr"]) for group in parameter_groups for parameter in group["params"]}
    trained = {stage.model.part_of(name) for name, _ in stage.trained_parameters()}
    parts: dict[str, list] = defaultdict(list)
    for name, parameter in stage.model.named_parameters():
        parts[stage.model.part_of(name)].append(parameter)
    lines: list[tuple[str, ...]] = [("part", "state", "parameters", "precision", "learning rate", "from")]
    for part, parameters in parts.items():
        rates = sorted({rate_of[id(parameter)] for parameter in parameters if id(parameter) in rate_of})
        lines.append(
            (
                part,
                "trained" if part in trained else "frozen",
                f"{sum(parameter.numel() for parameter in parameters):,}",
                ", ".join(sorted({str(parameter.dtype).removeprefix("torch.") for parameter in parameters})),
                ", ".join(f"{rate:g}" for rate in rates) if part in trained else "",
                stage.origin.get(part, "its initialisation" if part in trained else "the base model"),
            )
        )
    return lines
