"""A lever changes how a step is done, not what comes out of it."""

import inspect
import re
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from benchmarks.levers import COMPILED, Lever, arms, levers, main
from benchmarks.lion_pair import TINY, Work
from tests.callbacks.logged import csv_rows
from tests.conftest import REPOSITORY
from tests.tiny_model import fit_arguments, prepare, write_model_file, write_tiny_shards
from triscope.cli import main as triscope
from triscope.components.language import LanguageModel
from triscope.components.vision import VisionEncoder
from triscope.data.datamodule import DataModule
from triscope.model import VisualLanguageModel
from triscope.stages import Stage

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
        found.append((loss.detach(), [tensor.grad for tensor in arm.trained]))
    assert_close(*found, rtol=1e-3, atol=1e-6)


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


def test_every_lever_on_the_page_has_a_flag_and_those_that_are_measured_are_among_them():
    text = (REPOSITORY / "docs" / "speed.md").read_text()
    told = re.findall(r"^\| .+ \| \[\w.+ \| (?:`([\w.]+)`)?.* \|$", text, re.MULTILINE)
    owners = {"data": DataModule, "vision": VisionEncoder, "language": LanguageModel}
    for flag in told:
        owner, _, name = flag.rpartition(".")
        known = [owners[owner]] if owner else [VisualLanguageModel, Stage]
        assert any(name in inspect.signature(each.__init__).parameters for each in known), flag
    assert {each.flag for each in levers(Path())} == set(told) - {"data.draft"}  # which changes pixels
    measured = re.findall(r"^\| (.+) \| `([\w.]+)` \| \d ", text, re.MULTILINE)
    assert set(measured) == {(each.name, each.flag) for each in levers(Path())}


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """The frozen base of a tiny model, and shards of pictures that two rows each ask about."""
    folder = prepare(tmp_path_factory.mktemp("base"))
    write_tiny_shards(folder / "shards", count=4)
    return folder


def fitted(base: Path, run: Path, *options: str) -> list[tuple[float, float]]:
    """Loss and gradient norm of each step of a run of the command line."""
    arguments = fit_arguments(base, str(base / "shards"), run, "--trainer.limit_val_batches", "0")
    write_model_file(base, dropout=0.0)  # rows that share a picture share what is dropped of it
    triscope([*arguments, *options])
    return [(row["train/loss"], row["learning/gradient_norm"]) for row in csv_rows(run) if "train/loss" in row]


@pytest.fixture(scope="module")
def usual(base) -> list[tuple[float, float]]:
    """Of a run with all levers."""
    return fitted(base, base / "usual")


MODEL = "--model.init_args.model.init_args"


@pytest.mark.parametrize(
    "options",
    [
        ("--data.shared_pictures", "false"),
        ("--data.pixels_as_bytes", "false"),
        ("--model.init_args.frozen_gradients", "[vision]"),
        ("--model.init_args.frozen_gradients", "[language]"),
        (f"{MODEL}.language.init_args.unpadded", "false"),
        (f"{MODEL}.language.init_args.logits_at_labels", "false"),
    ],
    ids=lambda options: " ".join(options).rpartition(".")[2],
)
def test_a_run_without_a_lever_has_the_losses_and_gradients_of_one_with_it(base, usual, tmp_path, options):
    for found, expected in zip(fitted(base, tmp_path / "run", *options), usual, strict=True):
        assert found == pytest.approx(expected, rel=1e-4)
    assert len(usual) == 4


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
