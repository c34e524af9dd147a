"""Batches from token ids, without tokenizers or files: one picture, prompt and answer a row."""

from collections.abc import Sequence

import torch
from torch import Tensor

from triscope.data.batch import LEVELS, Batch, Row
from triscope.data.sample import Level


def batch_of_rows(
    rows: Sequence[tuple[list[int], list[int]]],
    pixels_ICHW: Tensor,
    question_ids_BS: Tensor,
    question_valid_BS: Tensor,
    level: Level,
) -> Batch:
    """A batch of prompts and answers, laid out as the data of this project is.

    Args:
        rows: ids of each row's prompt, placeholders among them, and of its answer.
        pixels_ICHW: a picture for each row.
        question_ids_BS, question_valid_BS: what the Q-Former reads.
        level: of all rows.
    """
    longest = max(len(prompt) + len(answer) for prompt, answer in rows)
    ids_BT = torch.zeros(len(rows), longest, dtype=torch.long)
    valid_BT, supervised_BT = (torch.zeros(len(rows), longest, dtype=torch.bool) for _ in range(2))
    for number, (prompt, answer) in enumerate(rows):
        length = len(prompt) + len(answer)
        ids_BT[number, :length] = torch.tensor([*map(int, prompt), *answer])
        valid_BT[number, :length] = True
        supervised_BT[number, len(prompt) : length] = True
    each_B, nothing = torch.arange(len(rows)), torch.empty(0, dtype=torch.long)
    return Batch(
        pixels_ICHW=pixels_ICHW,
        ids_BT=ids_BT,
        valid_BT=valid_BT,
        supervised_BT=supervised_BT,
        question_ids_BS=question_ids_BS,
        question_valid_BS=question_valid_BS.bool(),
        level_B=torch.full((len(rows),), LEVELS.index(level)),
        pair_row_N=each_B,
        pair_image_N=each_B,
        region_row_G=nothing,
        region_image_G=nothing,
        boxes_G4=torch.empty(0, 4),
        rows=tuple(Row(f"{number}:0", "any", level, "", ("",)) for number in each_B.tolist()),
    )
