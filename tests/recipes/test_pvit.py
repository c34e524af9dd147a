"""PVIT's recipes, and LION's with region tokens, from the command line at a tiny size."""

import json
from pathlib import Path

import pytest
import torch

from tests.data.tiny import ask, sample, write_shards
from tests.tiny_model import fit_arguments, prepare
from triscope.checkpoints.slices import read_slice
from triscope.cli import main
from triscope.data.boxes import Box, BoxSpace
from triscope.data.sample import Level
from triscope.model import VisualLanguageModel

REGION_PARTS = {"region_projector", "region_position", "region_markers"}
LONG_PROMPTS = ("--data.prompt_style.max_prompt_tokens", "200", "--run.wandb", "disabled")


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """The frozen base of a tiny model, and beside it shards whose questions are about regions."""
    folder = prepare(tmp_path_factory.mktemp("base"))
    box = Box(4, 3, 20, 24, BoxSpace.PIXELS)
    asked = [
        ask(("What is <region:1>?", "the dog"), task="recognition", level=Level.REGION),
        ask(("Where is the cat?", "<region:1>"), task="pointing", level=Level.REGION),
        ask(("What is this?", "the cat")),
    ]
    write_shards(folder / "shards", [sample(f"s{number}", asked, tags=["dog"], boxes=[box]) for number in range(4)])
    return folder


def parts(run: Path) -> dict[str, dict[str, torch.Tensor]]:
    """What a run has trained, by part."""
    found: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in read_slice(run).items():
        found.setdefault(VisualLanguageModel.part_of(name), {})[name] = tensor
    return found


def fit(base: Path, run: Path, recipe: str, system: str, *more: str) -> None:
    main(fit_arguments(base, str(base / "shards"), run, *LONG_PROMPTS, *more, recipe=recipe, system=system))


@pytest.mark.parametrize("recipe", ["lion_2_region", "lion_joint"])
def test_a_lion_with_region_tokens_trains_under_lion_s_recipes(base, tmp_path, recipe):
    fit(base, tmp_path / "run", recipe, "lion_pvit", "--data.prompt_style.regions", "token")
    trained = parts(tmp_path / "run")
    assert trained.keys() >= {"aggregator", "adapter_region", *REGION_PARTS}
    assert all(tensor.any() for name in REGION_PARTS for tensor in trained[name].values())


def test_the_stages_of_pvit_follow_each_other_and_are_tested(base, tmp_path):
    tokens = ("--data.prompt_style.tags", "none")
    first, second = tmp_path / "first", tmp_path / "second"
    fit(base, first, "pvit_1_alignment", "pvit", *tokens, "--model.init_args.warm_start", "null")
    assert parts(first).keys() == {"region_projector", "region_markers"}

    warm = [{"checkpoint": str(first), "parts": ["region_projector", "region_markers"]}]
    fit(base, second, "pvit_2_instruction", "pvit", *tokens, "--model.init_args.warm_start", json.dumps(warm))
    assert parts(second).keys() == {"language", "image_projector", "image_markers", *REGION_PARTS}
    main(["test", "-c", str(second / "config.yaml"), "--ckpt_path", str(second / "checkpoints" / "last.ckpt")])
    results = json.loads((second / "results.json").read_text())["tiny"]
    assert results["controls"].keys() == {"blind", "shuffled"} and "region/recognition_acc" in results["metrics"]


def test_stage_2_in_4_bits_with_a_lora_is_run_and_handed_on(base, tmp_path):
    run, language = tmp_path / "run", "--model.init_args.model.init_args.language.init_args"
    adapted = ("--model.init_args.warm_start", "null", f"{language}.dtype", "nf4", f"{language}.lora", '{"rank": 2}')
    fit(base, run, "pvit_2_instruction", "pvit", "--data.prompt_style.tags", "none", *adapted)
    assert parts(run).keys() == {"lora", "image_projector", "image_markers", *REGION_PARTS}
    table = {line.split(" | ")[0].strip(): line for line in (run / "parts.txt").read_text().splitlines()}
    assert "frozen" in table["language"] and "trained" in table["lora"]
    for form in ("model", "language"):
        main(["export", str(run), "--to", form, "--out", str(tmp_path / form)])  # and read back
    assert (tmp_path / "language" / "model.safetensors").is_file()
