"""The charts of W&B in groups as a reader thinks; W&B makes a group of what is the same before the first slash of a name."""

from collections.abc import Mapping

from lightning.pytorch.loggers import WandbLogger

from triscope.evaluation.tasks import task_and_score


class ChartsByTask(WandbLogger):
    """Shows the scores of each task in a group of their own, which elsewhere are `validation/LEVEL/TASK_SCORE`."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log under the names of the charts."""
        super().log_metrics({chart_name(name): value for name, value in metrics.items()}, step)


def chart_name(name: str) -> str:
    """`quality region pointing/acc@0.5` for `validation/region/pointing_acc@0.5`; losses and everything else as they are."""
    kind, _, quantity = name.partition("/")
    if kind != "validation" or "/" not in quantity:
        return name
    task, score = task_and_score(quantity)
    return f"quality {task.replace('/', ' ')}/{score}"
