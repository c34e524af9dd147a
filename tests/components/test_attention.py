import torch
from torch.testing import assert_close

from triscope.components.attention import attention


def queries_keys_values(dtype: torch.dtype) -> list[torch.Tensor]:
    torch.manual_seed(0)
    return [torch.randn(2, 3, positions, 8, dtype=dtype) for positions in (5, 7, 7)]


def test_bfloat16_and_float32_attend_alike_with_and_without_a_mask():
    exact = queries_keys_values(torch.float32)
    short = [tensor.bfloat16() for tensor in exact]
    readable = torch.arange(7) < torch.tensor([4, 7])[:, None, None, None]
    for mask in (None, readable):
        assert_close(attention(*short, mask).float(), attention(*exact, mask), atol=0.03, rtol=0.03)


def test_what_may_not_be_read_changes_nothing_in_either_kernel():
    readable = (torch.arange(7) < 4)[None, None, None]
    for dtype in (torch.float32, torch.bfloat16):
        query, key, value = queries_keys_values(dtype)
        masked = attention(query, key, value, readable)
        alone = attention(query, key[:, :, :4], value[:, :, :4])
        assert_close(masked.float(), alone.float(), atol=1e-2 if dtype == torch.bfloat16 else 1e-6, rtol=0)


def test_dropout_drops_attention_weights_in_either_kernel():
    for dtype in (torch.float32, torch.bfloat16):
        torch.manual_seed(0)
        uniform = torch.zeros(1, 1, 1, 8, dtype=dtype), torch.zeros(1, 1, 4096, 8, dtype=dtype)
        ones = torch.ones(1, 1, 4096, 8, dtype=dtype)
        assert (attention(*uniform, ones) - 1).abs().max() < 0.01
        dropped = attention(*uniform, ones, dropout=0.5)
        assert 0.001 < (dropped - 1).abs().max() < 0.2
