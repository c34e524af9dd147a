"""Tokens are counted as a model reads them."""

import pytest

from benchmarks.token_budget import main, tokens


def test_a_batch_has_the_tokens_of_its_rows_and_of_their_pictures():
    mean, longest = tokens(stage=2, questions=6, samples=2, gpus=3, steps=2)
    prompt_and_answer = (30 + 14 + 3, 60 + 48 + 29)  # tags, question, answer: the fewest and the most of a row of stage 2
    assert 12 * (257 + prompt_and_answer[0]) < mean < longest < 12 * (257 + 2 + prompt_and_answer[1])


def test_one_gpu_waits_for_nobody():
    mean, longest = tokens(stage=1, questions=1, samples=4, gpus=1, steps=5)
    assert longest == pytest.approx(mean)


def test_the_table_has_a_row_for_each_stage_and_kind_of_batch(capsys):
    main(["--samples", "1", "--gpus", "2", "--steps", "2"])
    assert capsys.readouterr().out.count("%") == 6
