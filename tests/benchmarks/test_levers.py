"""A lever changes how a step is done, not what comes out of it."""

from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from benchmarks.levers import COMPILED, Lever, arms, levers, main
from benchmarks.lion_pair import TINY, Work
from triscope.model import VisualLanguageModel

WORK = Work(stage=3, questions=6, rows=6, sizes=TINY)


def each_lever() -> list:
    """Their numbers, for parametrize; compiling takes its time."""
    names = [lever.name for lever in levers(Path())]
    return [pytest.param(n, id=name, marks=[pytest.mark.slow] if name == COMPILED else []) for n, name in enumerate(names)]


@pytest.mark.parametrize("number", each_lever())
def test_a_lever_changes_neither_loss_nor_gradients(number, tmp_path):
    with_it, without = arms(levers(tmp_path)[number], WORK)
    found = []
    for arm in (with_it, without):
        arm.model.train()
        loss = arm.loss()
        loss.backward()
        norm = torch.nn.utils.get_total_norm([tensor.grad for tensor in arm.trained if tensor.grad is not None])
        found.append((loss.detach(), norm))
    assert_close(*found, rtol=1e-4, atol=1e-6)


def lever(name: str, folder: Path) -> Lever:
    (found,) = (each for each in levers(folder) if each.name.startswith(name))
    return found


def gradients(model: VisualLanguageModel) -> set[str]:
    """The frozen parts that have some."""
    trained = {"qformer", "aggregator", "soft_prompt", "router", "adapter_image", "adapter_region"}
    return {model.part_of(name) for name, each in model.named_parameters() if each.grad is not None} - trained


@pytest.mark.parametrize(("name", "part"), [("no gradients through", "vision"), ("no gradients of", "language")])
def test_without_the_lever_frozen_weights_have_gradients_and_do_not_change(name, part, tmp_path):
    for arm, expected in zip(arms(lever(name, tmp_path), WORK), (set(), {part}), strict=True):
        arm.loss().backward()
        assert gradients(arm.model) == expected
        before = {name: each.clone() for name, each in arm.model.named_parameters() if arm.model.part_of(name) == part}
        arm.step()
        assert all(torch.equal(arm.model.get_parameter(name), each) for name, each in before.items())


def test_features_are_computed_once_and_then_read(tmp_path):
    arm, _ = arms(lever("features", tmp_path), WORK)
    encoded = []
    arm.model.vision.tower.patch_embed.register_forward_hook(lambda module, inputs, output: encoded.append(len(inputs[0])))
    for _ in range(3):
        arm.step()
    assert encoded == [1]


def test_without_the_lever_of_logits_the_head_works_everywhere(tmp_path):
    worked = []
    for arm in arms(lever("logits", tmp_path), WORK):
        head = arm.model.language.model.get_output_embeddings()
        head.register_forward_hook(lambda module, inputs, output, to=worked: to.append(output[..., 0].numel()))
        arm.loss()
    assert worked[0] == int(WORK.batch().supervised_BT.sum()) < worked[1]


def test_the_table_has_a_row_for_each_lever_and_stage(capsys, monkeypatch):
    monkeypatch.setattr("benchmarks.levers.levers", lambda folder: [lever("layers stored", folder)])
    main(["--sizes", "tiny", "--rows", "6", "--rounds", "1", "--stages", "2"])
    assert "| layers stored, not recomputed | `language.activation_checkpointing` | 2 | " in capsys.readouterr().out
