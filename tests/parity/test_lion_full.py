"""The whole LION, pixels and ids in, against recorded numbers of its authors, at the tolerances of the fixture's README."""

import json
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.testing import assert_close

from tests.parity import lion_keys, lion_sizes
from tests.parity.fixture import Fixture, for_each_fixture
from tests.rows import batch_of_rows
from triscope.components.aggregator import AggregatorBridge
from triscope.components.language import LanguageModel
from triscope.components.qformer import QFormerBridge
from triscope.components.soft_prompt import SoftPrompt
from triscope.components.vision import VisionEncoder
from triscope.data.batch import LEVELS, Batch, Placeholder
from triscope.data.sample import Level
from triscope.model import VisualLanguageModel

OUTPUTS = {"atol": 1e-4, "rtol": 1e-4}
GRADIENTS = {"atol": 1e-5, "rtol": 1e-3}
BOTH = ("qformer", "aggregator")
# Recorded run, level of its rows, bridges, levels of its adapters.
MIXED = [("image_level", Level.IMAGE, BOTH, LEVELS), ("region_level", Level.REGION, BOTH, LEVELS)]
SINGLE = [
    ("qformer_only", Level.IMAGE, ("qformer",), (Level.IMAGE,)),
    ("aggregator_only", Level.REGION, ("aggregator",), (Level.REGION,)),
]
every_run = pytest.mark.parametrize(("run", "level", "bridges", "levels"), MIXED + SINGLE, ids=lambda value: str(value))


def lion(
    fixture: Fixture, folder: Path, bridges: tuple[str, ...] = BOTH, levels: tuple[Level, ...] = LEVELS, soft_prompt: bool = True
) -> VisualLanguageModel:
    """The reference's model, of its branches those that are named."""
    config, weights = fixture.config, fixture.under("weights/")
    (folder / "config.json").write_text(json.dumps({"model_type": "t5", **config["t5"]}))
    builders = {
        "qformer": partial(QFormerBridge, **lion_sizes.qformer(config)),
        "aggregator": partial(AggregatorBridge, **lion_sizes.aggregator(config)),
    }
    model = VisualLanguageModel(
        language=lambda: LanguageModel(str(folder), levels=levels, **lion_sizes.language(config)),
        vision=lambda: VisionEncoder(**lion_sizes.vision(config)),
        bridges={name: builders[name] for name in bridges},
        soft_prompt=SoftPrompt if soft_prompt else None,
    )
    state = in_our_names(weights, bridges, levels)
    state |= {f"vision.tower.{name}": value for name, value in fixture.under("weights/visual_encoder.").items()}
    state["soft_prompt.vector_D"] = state["soft_prompt.vector_D"].flatten()
    if not soft_prompt:
        del state["soft_prompt.vector_D"]
    model.load_state_dict(state)
    return model.eval()


def in_our_names(values: dict[str, Tensor], bridges: tuple[str, ...], levels: tuple[Level, ...]) -> dict[str, Tensor]:
    """What belongs to trained parts and to the language model, from the reference's names to this project's."""
    ours = {"soft_prompt.vector_D": values["soft_prompt_hint"]}
    for bridge in bridges:
        ours |= {f"bridges.{bridge}.{name}": value for name, value in lion_keys.ours(values, f"bridges.{bridge}.").items()}
    ours |= {f"language.{name}": value for name, value in lion_keys.language_model(values, levels).items()}
    return ours


def batch(fixture: Fixture, level: Level, soft_prompt: bool = True) -> Batch:
    """The recorded inputs as the data of this project is laid out: one image, prompt and answer a row, no gaps."""
    rows = []
    for number in range(fixture.config["batch"]):
        prompt = fixture["inputs/t5_input_ids"][number][fixture["inputs/t5_attention_mask"][number].bool()].tolist()
        if soft_prompt:
            prompt[int(fixture["inputs/soft_token_position"][number])] = Placeholder.SOFT_PROMPT
        labels = fixture["inputs/labels"][number]
        rows.append(([Placeholder.IMAGE, *prompt], labels[labels >= 0].tolist()))
    question = fixture["inputs/qformer_input_ids"], fixture["inputs/qformer_attention_mask"]
    return batch_of_rows(rows, fixture["inputs/pixels"], *question, level)


def check_predictions(model: VisualLanguageModel, fixture: Fixture, given: Batch, run: str) -> Tensor:
    """Logits at the supervised positions and the loss agree with a recorded run. Returns the loss."""
    predictions = model(given)
    recorded = fixture[f"outputs/{run}/logits"][fixture["inputs/labels"] >= 0]
    assert_close(predictions.logits_MV, recorded, **OUTPUTS)
    loss = F.cross_entropy(predictions.logits_MV, predictions.targets_M)
    assert_close(loss, fixture[f"outputs/{run}/loss"], rtol=0, atol=1e-5)
    return loss


@for_each_fixture("lion", "lion_full")
@every_run
def test_what_the_language_model_reads_is_the_authors(fixture, run, level, bridges, levels, tmp_path):
    model, given = lion(fixture, tmp_path, bridges, levels), batch(fixture, level)
    asked_BT = given.valid_BT & ~given.supervised_BT
    fused = model.fused(given, kept_BT=asked_BT)
    mixed = len(bridges) == 2
    mask_BT = fixture["inputs/encoder_attention_mask" if mixed else f"outputs/{run}/encoder_attention_mask"].bool()
    embeddings_BTD = fixture["outputs/encoder_inputs_embeds" if mixed else f"outputs/{run}/encoder_inputs_embeds"]
    assert_close(fused.embeddings_BTD[fused.valid_BT], embeddings_BTD[mask_BT], **OUTPUTS)


@for_each_fixture("lion", "lion_full")
@every_run
def test_predictions_and_the_gradients_of_all_that_trains_are_the_authors(fixture, run, level, bridges, levels, tmp_path):
    model = lion(fixture, tmp_path, bridges, levels)
    check_predictions(model, fixture, batch(fixture, level), run).backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.requires_grad}

    norms = {name: torch.tensor([norm]) for name, norm in fixture.description["grad_norms"][run].items()}
    expected = in_our_names(norms, bridges, levels)
    assert gradients.keys() == expected.keys()
    for name, norm in expected.items():
        if not name.endswith("key.bias"):  # a key's bias has none but rounding
            assert_close(gradients[name].norm(), norm.squeeze(), **GRADIENTS, msg=lambda text, name=name: f"{name}: {text}")


@for_each_fixture("lion", "lion_full")
def test_without_the_soft_prompt_its_place_is_an_ordinary_token(fixture, tmp_path):
    model = lion(fixture, tmp_path, soft_prompt=False)
    check_predictions(model, fixture, batch(fixture, Level.IMAGE, soft_prompt=False), "no_soft_prompt")


@for_each_fixture("lion", "lion_full")
@pytest.mark.parametrize(("run", "level"), [(run, level) for run, level, _, _ in MIXED], ids=str)
@pytest.mark.parametrize(
    ("written", "options"),
    [("generated_greedy", {}), ("generated_beam5_rep1.5", {"beams": 5, "repetition_penalty": 1.5, "length_penalty": 1.0})],
)
def test_what_is_written_is_the_authors(fixture, run, level, written, options, tmp_path):
    model = lion(fixture, tmp_path)
    found = model.generate(batch(fixture, level), max_new_tokens=fixture.config["generation"]["max_new_tokens"], **options)
    end, padding = fixture.config["t5"]["eos_token_id"], fixture.config["t5"]["pad_token_id"]
    recorded = fixture[f"outputs/{run}/{written}"].tolist()
    assert found == [[token for token in ids if token not in (end, padding)] for ids in recorded]
