"""Fusion: one sequence of embeddings from token ids whose negative ids stand for features.

    ids       [ IMAGE ] [ SOFT_PROMPT ] tags and question   answer
    fused     f f f f f   s             e e e e e e e e e   e e e

A placeholder of an image or a region becomes all tokens of it. Nothing is padded inside a row; rows of different lengths are
aligned at their first token for training and at their last one for generation.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from triscope.data.batch import Placeholder, Row
from triscope.data.errors import ConfigurationError

IGNORED_LABEL = -100


@dataclass(frozen=True)
class Fused:
    """What a language model reads.

    Args:
        embeddings_BTD: text and features in reading order; zero where padded.
        valid_BT: True where there is a token.
        labels_BT: the token id at a supervised position, -100 elsewhere.
    """

    embeddings_BTD: Tensor
    valid_BT: Tensor
    labels_BT: Tensor


@dataclass(frozen=True)
class Features:
    """Features that stand at the placeholders, in the order of the placeholders.

    Args:
        image_tokens_NQD: tokens of each (row, image) pair; Q may be 0.
        region_tokens_GRD: tokens of each region.
        soft_prompt_D: the learned vector, the same for all rows.
    """

    image_tokens_NQD: Tensor
    region_tokens_GRD: Tensor
    soft_prompt_D: Tensor


def fuse(
    ids_BT: Tensor, kept_BT: Tensor, supervised_BT: Tensor, text_BTD: Tensor, features: Features, align_right: bool = False
) -> Fused:
    """Put features at their placeholders.

    Args:
        ids_BT: token ids; negative ones are placeholders.
        kept_BT: False where a token is padding or left out.
        supervised_BT: True where the token belongs to an answer.
        text_BTD: embeddings of the ids (of anything at placeholders).
        features: what stands at the placeholders; their counts must agree (`check_placeholders`).
        align_right: put the padding before the row, as generation by a causal model needs it.

    Returns:
        The fused rows, as long as the longest of them.
    """
    rows, columns = ids_BT.shape
    images, image_tokens, width = features.image_tokens_NQD.shape
    regions, region_tokens, _ = features.region_tokens_GRD.shape

    # Where each token lands: a placeholder takes the room of all its tokens, a token left out takes none.
    length_BT = torch.where(ids_BT == Placeholder.IMAGE, image_tokens, torch.ones_like(ids_BT))
    length_BT = torch.where(ids_BT == Placeholder.REGION, region_tokens, length_BT) * kept_BT
    total_B = length_BT.sum(1)
    longest = int(total_B.max())
    start_BT = length_BT.cumsum(1) - length_BT
    if align_right:
        start_BT = start_BT + (longest - total_B)[:, None]

    # All vectors that may appear, one under the other; every place of the result then names the one it takes.
    source = torch.cat(
        [
            text_BTD.new_zeros(1, width),
            features.soft_prompt_D[None].to(text_BTD.dtype),
            features.region_tokens_GRD.reshape(-1, width).to(text_BTD.dtype),
            features.image_tokens_NQD.reshape(-1, width).to(text_BTD.dtype),
            text_BTD.reshape(-1, width),
        ]
    )
    first_region = 2
    first_image = first_region + regions * region_tokens
    first_text = first_image + images * image_tokens

    taken_BT = ids_BT.new_zeros(rows, longest)
    labels_BT = ids_BT.new_full((rows, longest), IGNORED_LABEL)
    row_BT = torch.arange(rows, device=ids_BT.device)[:, None].expand(-1, columns)

    is_text_BT = kept_BT & (ids_BT >= 0)
    place = row_BT[is_text_BT], start_BT[is_text_BT]
    taken_BT[place] = first_text + torch.arange(rows * columns, device=ids_BT.device).view(rows, columns)[is_text_BT]
    labels_BT[place] = torch.where(supervised_BT, ids_BT, IGNORED_LABEL)[is_text_BT]

    is_soft_prompt_BT = kept_BT & (ids_BT == Placeholder.SOFT_PROMPT)
    taken_BT[row_BT[is_soft_prompt_BT], start_BT[is_soft_prompt_BT]] = 1

    for kind, first, tokens in (
        (Placeholder.REGION, first_region, region_tokens),
        (Placeholder.IMAGE, first_image, image_tokens),
    ):
        is_kind_BT = kept_BT & (ids_BT == kind)
        start_N1, row_N1 = start_BT[is_kind_BT][:, None], row_BT[is_kind_BT][:, None]
        token_Q = torch.arange(tokens, device=ids_BT.device)
        number_N1 = torch.arange(len(start_N1), device=ids_BT.device)[:, None]
        taken_BT[row_N1, start_N1 + token_Q] = first + number_N1 * tokens + token_Q

    return Fused(source[taken_BT], taken_BT > 0, labels_BT)


def check_placeholders(ids_BT: Tensor, kept_BT: Tensor, feature_row: Tensor, kind: Placeholder, rows: Sequence[Row]) -> None:
    """Refuse a batch in which a row has more or fewer placeholders than features.

    Args:
        ids_BT, kept_BT: the rows.
        feature_row: row of each feature (pairs or regions), in row order.
        kind: which placeholder.
        rows: for the message.

    Raises:
        ConfigurationError: naming both numbers, the sample's key and the remedy.
    """
    placeholders_B = ((ids_BT == kind) & kept_BT).sum(1)
    features_B = torch.bincount(feature_row, minlength=len(ids_BT))
    if torch.equal(placeholders_B, features_B):
        return
    row = int((placeholders_B != features_B).nonzero()[0])
    name = kind.name.lower()
    raise ConfigurationError(
        f"sample {rows[row].key}",
        found=f"{int(placeholders_B[row])} {name} placeholder(s) and {int(features_B[row])} {name}(s)",
        expected="as many of one as of the other",
        remedy=f"give every {name} of the row one <{name}:k> marker in its prompts",
    )
