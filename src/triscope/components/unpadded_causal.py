"""A causal language model on rows without padding: they stand one behind the other, and each reads itself alone.

    rows    p p p a a a -      unpadded    p p p a a a b b b b
            p p p b b b b                  a reads p and itself, b reads p and itself; both begin at position 3

What rows begin with alike is read once. Every matrix product sees the tokens that there are and no others; for attention alone
each row is put together with its beginning, side by side with rows of about its length. It is one forward pass whatever is
shared, so that layers may be recomputed, and processes that hold parts of one model meet. The model is that of Hugging Face;
only its attention is told of the rows.

Local letters: U distinct beginnings; P tokens of the longest, and places of each, 0 if nothing is shared; O tokens behind the
beginnings, of all rows; E tokens of all, those of the beginnings first; G rows of a group, and R tokens behind the beginning of
its longest; C pieces, which are beginnings and what stands behind them; h heads; d width of a head.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import eager_mask, sdpa_mask
from transformers.models.llama.modeling_llama import eager_attention_forward

_NAMES = {"sdpa": "triscope_causal_rows_sdpa", "eager": "triscope_causal_rows_eager"}
ALIKE = 1 / 2  # of the longest row's tokens has the shortest of a group: closer groups take more kernels than they save


class SharedPrefix(NamedTuple):
    """The same first tokens in several rows of a level, without a label or padding among them.

    Args:
        length_U: tokens of each distinct prefix.
        row_U: for each distinct prefix, a row that begins with it.
        prefix_B: for each row, its prefix.
    """

    length_U: Tensor
    row_U: Tensor
    prefix_B: Tensor


class Group(NamedTuple):
    """Rows of about the same length, which attention reads side by side.

    Args:
        prefix_G: of each row, where P is not 0.
        place_GR: of the tokens behind it, among all; anything where a row has no more.
        is_begun_GP: where its prefix has a token; None if all prefixes are as long.
    """

    prefix_G: Tensor
    place_GR: Tensor
    is_begun_GP: Tensor | None = None


class RowsBehindPrefixes(NamedTuple):
    """Where attention finds the tokens of each row.

    Args:
        prefix_length: P.
        prefixes: U.
        groups: of all rows.
        place_O: of each token behind the prefixes, among all places (G, R) of all groups.
    """

    prefix_length: int
    prefixes: int
    groups: Sequence[Group]
    place_O: Tensor


class Unpadded(NamedTuple):
    """Rows one behind the other, as the model reads them.

    Args:
        embeddings_ED: of all tokens.
        position_E: of each token in its row.
        place_BT: where each token of the rows has come to stand.
        rows: for attention.
        level_C, lengths: of the pieces (prefixes, then rows): their levels, those of a level side by side, and their tokens.
    """

    embeddings_ED: Tensor
    position_E: Tensor
    place_BT: Tensor
    rows: RowsBehindPrefixes
    level_C: Tensor
    lengths: Sequence[int]


def can_read_unpadded(model: PreTrainedModel) -> bool:
    """Whether all tokens of a row that stand before a token are read from it, by attention that can be told of the rows."""
    config = model.config
    windowed = getattr(config, "sliding_window", None) is not None
    return model._supports_attention_backend and not config.is_encoder_decoder and not windowed


def prepare(model: PreTrainedModel) -> None:
    """Let a model attend within rows, when it is given rows; on padded batches it works as before."""
    model.config._attn_implementation = _NAMES[model.config._attn_implementation]


def without_padding(embeddings_BTD: Tensor, valid_BT: Tensor, level_B: Tensor, prefix: SharedPrefix | None) -> Unpadded:
    """Put rows one behind the other.

    Args:
        embeddings_BTD: rows.
        valid_BT: True where there is a token; with a prefix, padding is behind the row, if at all.
        level_B: of each row.
        prefix: that rows share.
    """
    device, width = embeddings_BTD.device, embeddings_BTD.shape[-1]
    order_B = level_B.argsort(stable=True)  # rows of a level side by side
    column_T = torch.arange(valid_BT.shape[1], device=device)
    lengths_U = [] if prefix is None else prefix.length_U.tolist()
    length = max(lengths_U, default=0)
    row_U = order_B[:0] if prefix is None else prefix.row_U[level_B[prefix.row_U].argsort(stable=True)]
    length_B = torch.zeros_like(order_B) if prefix is None else prefix.length_U[prefix.prefix_B]
    is_own_BT = valid_BT & (column_T >= length_B[:, None])
    in_order_O, column_O = is_own_BT[order_B].nonzero(as_tuple=True)
    row_O = order_B[in_order_O]

    begun_U = column_T[:length].repeat(len(row_U))
    embeddings_ED = torch.cat([embeddings_BTD[row_U, :length].reshape(-1, width), embeddings_BTD[row_O, column_O]])
    position_E = torch.cat([begun_U, (valid_BT.cumsum(1) - 1)[row_O, column_O]])

    place_BT = torch.zeros_like(valid_BT, dtype=torch.long)
    place_BT[row_O, column_O] = len(begun_U) + torch.arange(len(row_O), device=device)
    prefix_B = torch.zeros_like(order_B)
    if prefix is not None:
        number_U = torch.zeros_like(row_U)  # of each prefix, as they stand here
        number_U[prefix.prefix_B[row_U]] = torch.arange(len(row_U), device=device)
        begun_BP = number_U[prefix.prefix_B, None] * length + column_T[:length]
        place_BT[:, :length] = torch.where(is_own_BT[:, :length], place_BT[:, :length], begun_BP)
        prefix_B = number_U[prefix.prefix_B][order_B]

    lengths = is_own_BT.sum(1)[order_B].tolist()
    is_begun_BP = column_T[:length] < length_B[order_B, None] if len(set(lengths_U)) > 1 else None
    groups, place_O = _grouped(lengths, prefix_B, is_begun_BP, first=len(begun_U))
    level_C = torch.cat([level_B[row_U], level_B[order_B]])
    rows = RowsBehindPrefixes(length, len(row_U), groups, place_O)
    return Unpadded(embeddings_ED, position_E, place_BT, rows, level_C, [*[length] * len(row_U), *lengths])


def _grouped(lengths: Sequence[int], prefix_B: Tensor, is_begun_BP: Tensor | None, first: int) -> tuple[list[Group], Tensor]:
    """Groups of rows, and where each token then stands among all their places (`RowsBehindPrefixes.place_O`).

    Args:
        lengths: tokens of each row behind its prefix; they stand one behind the other.
        prefix_B: of each row.
        is_begun_BP: where that has a token; None if it has one everywhere.
        first: the place of the first token.
    """
    length_B = torch.tensor(lengths, device=prefix_B.device)
    start_B = length_B.cumsum(0) - length_B
    place_O = torch.empty(sum(lengths), dtype=torch.long, device=prefix_B.device)
    groups: list[Group] = []
    places = 0
    for rows in alike(lengths):
        row_G = torch.tensor(rows, device=prefix_B.device)
        column_R = torch.arange(lengths[rows[0]], device=prefix_B.device)
        is_own_GR = column_R < length_B[row_G, None]
        token_GR = (start_B[row_G, None] + column_R) * is_own_GR
        place_O[token_GR[is_own_GR]] = places + is_own_GR.flatten().nonzero()[:, 0]
        is_begun_GP = is_begun_BP[row_G] if is_begun_BP is not None else None
        groups.append(Group(prefix_B[row_G], first + token_GR, is_begun_GP))
        places += is_own_GR.numel()
    return groups, place_O


def alike(lengths: Sequence[int]) -> list[list[int]]:
    """Rows by number, the longest first, in groups of which the shortest has at least `ALIKE` of the longest's tokens."""
    groups: list[list[int]] = []
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        if not groups or lengths[row] < ALIKE * lengths[groups[-1][0]]:
            groups.append([])
        groups[-1].append(row)
    return groups


def read(model: nn.Module, embeddings_ED: Tensor, position_E: Tensor, rows: RowsBehindPrefixes) -> Tensor:
    """What a model that was prepared makes of rows without padding: the states (E, D), ready for the head."""
    nothing = embeddings_ED.new_zeros(1, 1, 1, 1)  # a mask of four dimensions is left alone, and no other is made
    return model(
        inputs_embeds=embeddings_ED[None],
        attention_mask=nothing,
        position_ids=position_E[None],
        use_cache=False,
        rows=rows,
    ).last_hidden_state[0]


def _attend(
    module, query, key, value, attention_mask, *, otherwise, rows=None, dropout=0.0, scaling=None, **kwargs
) -> tuple[Tensor, Tensor | None]:
    """Attention as transformers calls it: within the rows, where there are `rows`, else as the model does it otherwise.

    Args:
        query, key, value: (1, h, E, d); keys and values may have fewer heads.
        rows: `RowsBehindPrefixes`.
    """
    if rows is None:
        return otherwise(module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs)
    heads = query.shape[1]
    query_Ehd, key_Ehd, value_Ehd = (
        each[0].transpose(0, 1).repeat_interleave(heads // each.shape[1], dim=1) for each in (query, key, value)
    )
    attention = partial(_attention, dropout=dropout, scale=scaling or query.shape[-1] ** -0.5)
    begun = rows.prefixes * rows.prefix_length
    query_UPhd, key_UPhd, value_UPhd = (
        each[:begun].view(rows.prefixes, rows.prefix_length, *each.shape[1:]) for each in (query_Ehd, key_Ehd, value_Ehd)
    )
    read = []
    for group in rows.groups:
        query_GRhd, key_GRhd, value_GRhd = (each[group.place_GR] for each in (query_Ehd, key_Ehd, value_Ehd))
        is_read = None
        if begun:
            key_GRhd = torch.cat([key_UPhd[group.prefix_G], key_GRhd], dim=1)
            value_GRhd = torch.cat([value_UPhd[group.prefix_G], value_GRhd], dim=1)
            is_read = _is_read(group, rows.prefix_length)
        read.append(attention(query_GRhd, key_GRhd, value_GRhd, is_read).flatten(0, 1))
    read_Ohd = torch.cat(read)[rows.place_O]
    if not begun:
        return read_Ohd[None], None
    read_UPhd = attention(query_UPhd, key_UPhd, value_UPhd, None)
    return torch.cat([read_UPhd.flatten(0, 1), read_Ohd])[None], None


def _is_read(group: Group, prefix_length: int) -> Tensor:
    """Which tokens of its prefix and of itself each token of a row reads: (R, P + R), or with G and a 1 before them."""
    own = group.place_GR.shape[1]
    is_read = torch.ones(own, prefix_length + own, dtype=torch.bool, device=group.place_GR.device).tril(prefix_length)
    if group.is_begun_GP is None:
        return is_read
    return is_read & nn.functional.pad(group.is_begun_GP, (0, own), value=True)[:, None, None]


def _attention(query: Tensor, key: Tensor, value: Tensor, is_read: Tensor | None, dropout: float, scale: float) -> Tensor:
    """Attention with heads last but one; causal if it is not said what is read.

    In bfloat16 on a CPU by plain products with a softmax in float32, as there the fused kernel takes more than twice as long:
    forward and backward, 8 rows of 200 tokens, 8 heads of 32, one core: 25 ms against 12 ms; 32 rows of 160: 90 against 28.
    """
    query, key, value = (each.transpose(1, 2) for each in (query, key, value))
    in_bfloat16 = torch.is_autocast_enabled("cpu") or query.dtype == torch.bfloat16
    if in_bfloat16 and query.device.type == "cpu":
        read = _plain_attention(query * scale, key, value, is_read, dropout)
    else:
        causal = is_read is None
        read = nn.functional.scaled_dot_product_attention(query, key, value, is_read, dropout, is_causal=causal, scale=scale)
    return read.transpose(1, 2)


def _plain_attention(query: Tensor, key: Tensor, value: Tensor, is_read: Tensor | None, dropout: float) -> Tensor:
    """The same by matrix products, heads before tokens."""
    if is_read is None:
        is_read = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool, device=query.device).tril()
    likeness = query @ key.transpose(-1, -2)
    unread = torch.zeros_like(is_read, dtype=likeness.dtype).masked_fill(~is_read, float("-inf"))
    weights = (likeness + unread).softmax(-1, dtype=torch.float32).to(likeness.dtype)
    return nn.functional.dropout(weights, dropout) @ value


for _implementation, _otherwise, _mask in (
    ("sdpa", sdpa_attention_forward, sdpa_mask),
    ("eager", eager_attention_forward, eager_mask),
):
    AttentionInterface.register(_NAMES[_implementation], partial(_attend, otherwise=_otherwise))
    AttentionMaskInterface.register(_NAMES[_implementation], _mask)
