"""Whether two models are the same, by what they predict."""

import torch
from torch import Tensor

from triscope.data.batch import LEVELS, Batch, Placeholder, Row
from triscope.data.errors import ConfigurationError
from triscope.model import VisualLanguageModel

_TEXT_TOKENS, _ANSWER_TOKENS, _QUESTION_TOKENS = 6, 3, 4


@torch.no_grad()
def logits_on_probe(model: VisualLanguageModel) -> Tensor:
    """Logits of a model on a made-up batch: a row of each level, with a picture, a soft prompt and text at random.

    The batch depends on the kinds of parts alone, so that a model that was read back gets the same.
    """
    dtype = model.language.model.get_input_embeddings().weight.dtype
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        return model.eval()(probe(model)).logits_MV.float()


def probe(model: VisualLanguageModel) -> Batch:
    """A batch for any model; ids are those that every vocabulary has."""
    generator = torch.Generator().manual_seed(0)
    words = model.language.model.get_input_embeddings().num_embeddings
    shown = [Placeholder.IMAGE] if model.vision is not None else []
    region = [Placeholder.REGION] if model.regions is not None else []
    prompt = [*shown, *region, *([Placeholder.SOFT_PROMPT] if model.soft_prompt is not None else [])]
    rows, length = len(LEVELS), _TEXT_TOKENS + _ANSWER_TOKENS
    text_BT = torch.randint(words, (rows, length), generator=generator)
    ids_BT = torch.cat([torch.tensor([[int(each) for each in prompt]] * rows).view(rows, -1), text_BT], dim=1)
    supervised_BT = torch.zeros_like(ids_BT, dtype=torch.bool)
    supervised_BT[:, -_ANSWER_TOKENS:] = True
    pictures = rows if shown else 0
    size = model.vision.image_size if model.vision is not None else 1
    each_N, nothing = torch.arange(pictures), torch.empty(0, dtype=torch.long)
    question_BS = torch.arange(1, _QUESTION_TOKENS + 1).repeat(rows, 1)
    return Batch(
        pixels_ICHW=torch.randn(pictures, 3, size, size, generator=generator),
        ids_BT=ids_BT.long(),
        valid_BT=torch.ones_like(supervised_BT),
        supervised_BT=supervised_BT,
        question_ids_BS=question_BS,
        question_valid_BS=torch.ones_like(question_BS, dtype=torch.bool),
        level_B=torch.arange(rows),
        pair_row_N=each_N,
        pair_image_N=each_N,
        region_row_G=torch.arange(rows) if region else nothing,
        region_image_G=torch.arange(rows) if region else nothing,
        boxes_G4=torch.tensor([[0.1, 0.2, 0.7, 0.9]] * (rows if region else 0)).view(-1, 4),
        region_pictures=tuple(torch.full((3, 64, 64), 90 * number, dtype=torch.uint8) for number in range(rows if region else 0)),
        rows=tuple(Row(f"probe:{number}", "probe", level, "", ("",)) for number, level in enumerate(LEVELS)),
    )


def check_logits(expected: Tensor, found: Tensor, tolerance: float, where: str) -> float:
    """The difference between two models' logits (root mean square), as a share of their spread.

    Raises:
        ConfigurationError: it is beyond the tolerance.
    """
    difference = float((found - expected).square().mean().sqrt() / expected.std())
    if not difference <= tolerance:  # also where it is no number
        raise ConfigurationError(
            f"export {where}",
            f"logits that differ by {difference:.1e} of their spread when read back",
            f"at most {tolerance:g}",
            "nothing was kept; the disk or this version of a library may be at fault: try --dtype float32, and report it",
        )
    return difference
