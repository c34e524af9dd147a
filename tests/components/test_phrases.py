"""Phrases folded into one vector each."""

import torch

from triscope.components.phrases import fold_phrases

BEGIN, END, SEPARATOR = 1, 2, 3
WIDTH = 16


def fold(*rows: list[int], table: torch.Tensor) -> list[torch.Tensor]:
    """What is left of each row, as vectors."""
    ids_BT = torch.tensor(rows)
    folded_BTD, is_kept_BT = fold_phrases(ids_BT, table[ids_BT], BEGIN, END, SEPARATOR)
    return [folded_TD[is_kept_T] for folded_TD, is_kept_T in zip(folded_BTD, is_kept_BT, strict=True)]


def test_a_phrase_is_one_vector_and_other_text_stays_as_it_is():
    table = torch.randn(20, WIDTH)
    (row,) = fold([10, BEGIN, 11, 12, END, 13], table=table)
    assert torch.equal(row[[0, 2]], table[[10, 13]])
    assert torch.allclose(row[1], table[11] + table[12])


def test_the_separator_is_no_word_of_a_phrase():
    table = torch.randn(20, WIDTH)
    (row,) = fold([BEGIN, 11, SEPARATOR, 12, SEPARATOR, 13, END], table=table)
    assert torch.allclose(row[0], table[11] + table[12] + table[13])


def test_phrases_beside_each_other_are_summed_apart():
    table = torch.randn(20, WIDTH)
    (row,) = fold([BEGIN, 11, 12, END, BEGIN, 13, END], table=table)
    assert torch.allclose(row, torch.stack([table[11] + table[12], table[13]]))


def test_outside_of_phrases_the_separator_is_text():
    table = torch.randn(20, WIDTH)
    (row,) = fold([SEPARATOR, BEGIN, 11, END, SEPARATOR], table=table)
    assert torch.allclose(row, table[[SEPARATOR, 11, SEPARATOR]])


def test_rows_do_not_see_each_other():
    table = torch.randn(20, WIDTH)
    first, second = fold([BEGIN, 11, SEPARATOR, 12, END], [10, BEGIN, 12, 13, END], table=table)
    assert torch.allclose(first, (table[11] + table[12])[None])
    assert torch.allclose(second, torch.stack([table[10], table[12] + table[13]]))


def test_every_word_of_a_phrase_gets_a_gradient():
    table = torch.randn(20, WIDTH, requires_grad=True)
    (row,) = fold([BEGIN, 11, SEPARATOR, 12, END], table=table)
    row.sum().backward()
    assert (table.grad.abs().sum(1) > 0).nonzero().flatten().tolist() == [11, 12]
