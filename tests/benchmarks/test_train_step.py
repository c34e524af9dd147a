"""Both arms of the benchmark do the same work, and its JSON has what is read from it."""

import json
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from benchmarks.lion_pair import TINY, Work, both_arms, our_arm
from benchmarks.train_step import LEVERS, check_same, evaluated, main

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


@pytest.mark.parametrize("change", LEVERS.values(), ids=LEVERS)
def test_a_lever_changes_no_loss(change):
    whole, without = our_arm(WORK), our_arm(replace(WORK, **change))
    without.model.load_state_dict(whole.model.state_dict())
    assert_close(evaluated(whole), evaluated(without), rtol=1e-4, atol=0)


def test_the_profile_tells_shares(capsys):
    main(["--profile", "--sizes", "tiny", "--rows", "6", "--stages", "2"])
    assert "| stage 2: operator | share of the step |" in (printed := capsys.readouterr().out) and "`aten::mm`" in printed
