"""T5 on rows without padding: they stand one behind the other, and each reads itself alone.

    padded    a a a a - -      unpadded    a a a a b b b b b b c c c
              b b b b b b                  the relative positions of every row begin at its first token
              c c c - - -

The layers are those of Hugging Face; the loop over them and the attention are our own. Every matrix product sees the tokens
that there are and no others, one table of position biases serves all rows and layers, and there is no mask.

Local letters: E tokens that the encoder reads, of all rows; A answer tokens that the decoder reads, of all rows; h heads; d
width of a head; t, s positions of one row that ask and that are read.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from transformers import AttentionInterface, AttentionMaskInterface, T5ForConditionalGeneration
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import eager_mask, sdpa_mask
from transformers.models.t5.modeling_t5 import eager_attention_forward

_NAMES = {"sdpa": "triscope_rows_sdpa", "eager": "triscope_rows_eager"}


def _attend(
    module, query, key, value, attention_mask, *, otherwise, position_bias, rows=None, dropout=0.0, **kwargs
) -> tuple[Tensor, Tensor | None]:
    """Attention as transformers calls it: within the rows, where there are `rows`, else as the model does it otherwise.

    Args:
        query, key, value: (1, h, positions of all rows, d).
        position_bias: (1, h, t, s) of the longest row; without an element between decoder and encoder.
        rows: tokens of each row as they ask, and as the decoder reads them in the encoder's output.
    """
    if rows is None:
        return otherwise(module, query, key, value, attention_mask, dropout=dropout, position_bias=position_bias, **kwargs)
    asking, encoded = rows
    is_biased = position_bias.numel() > 0
    reading = asking if is_biased else encoded
    read = [
        nn.functional.scaled_dot_product_attention(
            query_1htd,
            key_1hsd,
            value_1hsd,
            position_bias[..., : query_1htd.shape[2], : key_1hsd.shape[2]] if is_biased else None,
            dropout,
            scale=1.0,  # T5 does not scale
        ).transpose(1, 2)
        for query_1htd, key_1hsd, value_1hsd in zip(
            query.split(asking, dim=2), key.split(reading, dim=2), value.split(reading, dim=2), strict=True
        )
    ]
    return torch.cat(read, dim=1), None


for _implementation, _otherwise, _mask in (
    ("sdpa", sdpa_attention_forward, sdpa_mask),
    ("eager", eager_attention_forward, eager_mask),
):
    AttentionInterface.register(_NAMES[_implementation], partial(_attend, otherwise=_otherwise))
    AttentionMaskInterface.register(_NAMES[_implementation], _mask)


def can_read_unpadded(model: nn.Module) -> bool:
    """Whether a language model is a T5 with one table of position biases a stack."""
    return isinstance(model, T5ForConditionalGeneration)


def prepare(model: Any) -> None:
    """Let a T5 attend within rows, when it is given rows; on padded batches it works as before."""
    for stack in (model.encoder, model.decoder):
        stack.config._attn_implementation = _NAMES[stack.config._attn_implementation]


def encode(model: Any, embeddings_ED: Tensor, lengths: Sequence[int]) -> Tensor:
    """What the encoder makes of rows.

    Args:
        model: a T5 that was prepared.
        embeddings_ED: of the rows, one behind the other.
        lengths: tokens of each row, at least 1.

    Returns:
        (E, D).
    """
    stack = model.encoder
    bias = _position_bias(stack, max(lengths), embeddings_ED.device)
    hidden = stack.dropout(embeddings_ED[None])
    for block in stack.block:
        hidden = block(hidden, None, bias.to(hidden.dtype), rows=(lengths, lengths))[0]
    return stack.dropout(stack.final_layer_norm(hidden))[0]


def decode(model: Any, ids_A: Tensor, lengths: Sequence[int], encoded_ED: Tensor, encoded_lengths: Sequence[int]) -> Tensor:
    """The state from which the token behind each answer token is predicted.

    Args:
        model: a T5 that was prepared.
        ids_A: the answers, one behind the other.
        lengths: tokens of each answer, at least 1.
        encoded_ED, encoded_lengths: what the answers are about, from `encode`.

    Returns:
        (A, D), ready for the head.
    """
    stack, device = model.decoder, ids_A.device
    # Each token is predicted from those before it: the start token, and the answer up to the last but one.
    given_A = ids_A.roll(1)
    given_A[torch.tensor([0, *lengths[:-1]], device=device).cumsum(0)] = model.config.decoder_start_token_id
    longest = max(lengths)
    is_later = torch.ones(longest, longest, dtype=torch.bool, device=device).triu(1)
    bias = _position_bias(stack, longest, device)
    bias = bias.masked_fill(is_later, torch.finfo(bias.dtype).min)
    hidden = stack.dropout(model.get_input_embeddings()(given_A)[None])
    between = hidden.new_empty(0)
    for block in stack.block:
        hidden = block(hidden, None, bias.to(hidden.dtype), encoded_ED[None], None, between, rows=(lengths, encoded_lengths))[0]
    hidden_AD = stack.dropout(stack.final_layer_norm(hidden))[0]
    return hidden_AD * model.model_dim**-0.5 if model.config.scale_decoder_outputs else hidden_AD


def _position_bias(stack: Any, tokens: int, device: torch.device) -> Tensor:
    """The biases (1, h, t, s) of a row: those of a shorter one are its upper left corner."""
    attention = stack.block[0].layer[0].SelfAttention
    place = torch.arange(tokens, device=device)
    bucket = attention._relative_position_bucket(
        place - place[:, None],
        bidirectional=not attention.is_decoder,
        num_buckets=attention.relative_attention_num_buckets,
        max_distance=attention.relative_attention_max_distance,
    )
    weight = attention.relative_attention_bias.weight
    if isinstance(weight, DTensor):  # of a sharded layer, which is whole only while it works
        weight = weight.full_tensor()
    return nn.functional.embedding(bucket, weight).permute(2, 0, 1)[None].contiguous()
