"""Both arms of the benchmark do the same work, and its JSON has what is read from it."""

import json
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from benchmarks.lion_pair import TINY, Work, both_arms, our_arm
from benchmarks.train_step import check_same, main
from benchmarks.utilisation import language_model_alone, peak_of

WORK = Work(stage=3, questions=6, rows=6, sizes=TINY)


@pytest.mark.parametrize("stage", [1, 2, 3])
@pytest.mark.parametrize("questions", [1, 6])
def test_both_arms_give_the_same_loss_and_gradient(stage, questions):
    ours, theirs = both_arms(replace(WORK, stage=stage, questions=questions))
    losses = [arm.loss() for arm in (ours, theirs)]
    assert_close(*losses)
    norms = []
    for arm, loss in zip((ours, theirs), losses, strict=True):
        loss.backward()
        norms.append(torch.nn.utils.get_total_norm([tensor.grad for tensor in arm.trained if tensor.grad is not None]))
    assert_close(*norms, rtol=1e-3, atol=0)
    assert sum(tensor.numel() for tensor in ours.trained) == sum(tensor.numel() for tensor in theirs.trained)


def test_both_arms_learn_alike():
    arms = both_arms(WORK)
    for _ in range(3):
        losses = [torch.tensor(arm.step()) for arm in arms]
    assert_close(*losses, rtol=1e-4, atol=0)


def test_arms_of_another_loss_are_not_compared():
    with pytest.raises(ValueError, match="stage 3: found losses"):
        check_same({"ours": 1.0, "hugging_face": 1.1}, WORK)


def test_json_has_the_ratios_and_each_figure(capsys):
    main(["--json", "--sizes", "tiny", "--rows", "6", "--rounds", "1", "--stages", "1"])
    printed = json.loads(capsys.readouterr().out)
    assert set(printed["ratios"]) == {"one_question", "six_questions", "memory"}
    assert [(figure["stage"], figure["kind"]) for figure in printed["figures"]] == [(1, "one_question"), (1, "six_questions")]
    for figure in printed["figures"]:
        assert figure["speed_ratio"]["median"] > 0 and figure["peak_mib"]["ours"] > 1
        assert figure["loss"]["ours"] == pytest.approx(figure["loss"]["hugging_face"], rel=1e-4)
    assert printed["machine"]["commit"]


def test_the_peak_of_a_gpu_is_that_of_its_longest_name():
    assert peak_of("NVIDIA H100 80GB HBM3") == 989e12 and peak_of("NVIDIA H100 PCIe") == 756e12
    assert peak_of("Some other") is None


def test_the_arithmetic_of_the_language_model_is_that_of_its_tokens():
    """Two products of each weight and token forwards, and two backwards, as frozen weights have no gradient; attention aside."""
    work = replace(WORK, stage=2)
    counted = language_model_alone(our_arm(work), work, rounds=1)
    batch, sizes = work.batch(), work.sizes
    supervised = int(batch.supervised_BT.sum())
    read = int((batch.valid_BT & ~batch.supervised_BT).sum()) + len(batch) * (sizes.image_tokens(2) - 1)
    inner = sizes.language_heads * sizes.language_head_width
    attention, feed_forward = 4 * sizes.language_width * inner, 3 * sizes.language_width * sizes.language_feed_forward_width
    adapter = 2 * sizes.language_width * sizes.adapter_bottleneck
    # The decoder attends twice, and reads keys and values of all that the encoder wrote.
    layer = read * (attention + feed_forward + 1.5 * adapter + attention / 2)
    layer += supervised * (1.5 * attention + feed_forward + 1.5 * adapter)
    head = supervised * sizes.language_width * sizes.vocabulary
    expected = 4 * (sizes.language_layers * layer + head) / 1e12
    assert counted["teraflops"] == pytest.approx(expected, rel=0.1)
    assert counted["mfu"] is None and counted["seconds"] > 0
