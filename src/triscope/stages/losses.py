"""Cross-entropy of supervised tokens, and what is told of it: by row, by task, over all."""

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F

from triscope.components.language import TokenPredictions
from triscope.data.batch import Batch


def token_losses(predictions: TokenPredictions) -> Tensor:
    """Cross-entropy of each supervised token (M,), in float32."""
    return F.cross_entropy(predictions.logits_MV.float(), predictions.targets_M, reduction="none")


class RowLoss(NamedTuple):
    """The loss of a row of a batch.

    Args:
        key, task: of the row.
        loss: sum over its supervised tokens.
        tokens: how many they are.
    """

    key: str
    task: str
    loss: float
    tokens: int


def row_losses(batch: Batch, losses_M: Tensor, row_M: Tensor) -> list[RowLoss]:
    """The loss of each row that has a supervised token."""
    losses_B = losses_M.new_zeros(len(batch)).index_add_(0, row_M, losses_M.detach()).tolist()
    tokens_B = row_M.bincount(minlength=len(batch)).tolist()
    rows = zip(batch.rows, losses_B, tokens_B, strict=True)
    return [RowLoss(row.key, row.task, loss, tokens) for row, loss, tokens in rows if tokens]


def mean_losses(rows: Iterable[RowLoss]) -> dict[str, float]:
    """Mean token loss as `loss`, and of each task as `loss_<task>`, whatever the order of the rows is."""
    by_name: dict[str, list[RowLoss]] = defaultdict(list)
    for row in rows:
        by_name["loss"].append(row)
        by_name[f"loss_{row.task}"].append(row)
    return {name: math.fsum(row.loss for row in some) / sum(row.tokens for row in some) for name, some in by_name.items()}
