"""The whole PVIT, pictures, boxes and ids in, against recorded numbers of its authors, at the tolerances of the README."""

import json
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.testing import assert_close

from tests.parity.fixture import Fixture, for_each_fixture
from tests.parity.test_pvit_region import padded
from triscope.components.language import LanguageModel
from triscope.components.linear import LinearBridge
from triscope.components.markers import Markers
from triscope.components.region_clip import RegionClipEncoder
from triscope.components.vision import VisionEncoder
from triscope.data.batch import Batch, Placeholder, Row
from triscope.data.sample import Level
from triscope.model import VisualLanguageModel
from triscope.stages import RegionAlignmentStage, RegionInstructionStage

OUTPUTS = {"atol": 2e-5, "rtol": 1e-4}
GRADIENTS = {"atol": 1e-6, "rtol": 1e-3}
STAGES = {"stage1": RegionAlignmentStage, "stage2": RegionInstructionStage}
# Words of the original's vocabulary that are learned vectors here.
MARKERS = {
    "<im_start>": "bridges.image_projector.markers.start_D",
    "<im_end>": "bridges.image_projector.markers.end_D",
    "<Region>": "regions.markers.start_D",
    "</Region>": "regions.markers.end_D",
}
LAYERS = {
    "model.mm_projector": "bridges.image_projector.projection",
    "model.prompt_projector": "regions.projector",
    "model.bbox_fc": "regions.position",
}
CLIP_LAYERS = {
    **{"layer_norm1": "ln_1", "layer_norm2": "ln_2", "self_attn.out_proj": "attn.out_proj"},
    **{"mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj"},
}


class PaddingRegionEncoder(RegionClipEncoder):
    """Given the pictures as the original gives them to the tower, padded to the largest of the batch. Ours pads nothing."""

    def features(self, features_LIPV, pictures, region_image_G, boxes_G4):
        """Boxes are shares of the pictures before they were padded."""
        whole = padded(pictures)
        sizes_I4 = torch.tensor([[*picture.shape[:0:-1]] * 2 for picture in pictures])
        shares_I4 = sizes_I4 / torch.tensor([*whole[0].shape[:0:-1]] * 2)
        return super().features(features_LIPV, whole, region_image_G, boxes_G4 * shares_I4[region_image_G])


def in_our_names(values: dict[str, Tensor], fixture: Fixture) -> dict[str, Tensor]:
    """Weights or gradients of what is no tower, from the original's names to this project's."""
    ours = {}
    for name, value in values.items():
        layer, _, kind = name.rpartition(".")
        ours[f"{LAYERS[layer]}.{kind}" if layer in LAYERS else f"language.model.{name}"] = value
    table = values["model.embed_tokens.weight"]
    return ours | {marker: table[fixture.config["special_ids"][word]] for word, marker in MARKERS.items()}


def clip_tower(weights: dict[str, Tensor], taps: int) -> dict[str, Tensor]:
    """The blocks up to the deepest tap, from Hugging Face's names to open_clip's."""
    weights = {name.removeprefix("vision_model."): value for name, value in weights.items()}
    tower = {
        "class_embedding": weights["embeddings.class_embedding"],
        "conv1.weight": weights["embeddings.patch_embedding.weight"],
        "positional_embedding": weights["embeddings.position_embedding.weight"],
        "ln_pre.weight": weights["pre_layrnorm.weight"],
        "ln_pre.bias": weights["pre_layrnorm.bias"],
    }
    for block in range(taps):
        theirs, ours = f"encoder.layers.{block}", f"transformer.resblocks.{block}"
        for kind in ("weight", "bias"):
            queries_keys_values = [weights[f"{theirs}.self_attn.{part}_proj.{kind}"] for part in "qkv"]
            tower[f"{ours}.attn.in_proj_{kind}"] = torch.cat(queries_keys_values)
            tower |= {f"{ours}.{mine}.{kind}": weights[f"{theirs}.{their}.{kind}"] for their, mine in CLIP_LAYERS.items()}
    return tower


def pvit(fixture: Fixture, folder: Path) -> VisualLanguageModel:
    """The reference's model."""
    llm, vision, region = (fixture.config[part] for part in ("llm", "vision", "region"))
    sizes = {
        **{"vocab_size": llm["vocab"], "hidden_size": llm["hidden"], "intermediate_size": llm["inter"]},
        **{"num_hidden_layers": llm["layers"], "num_attention_heads": llm["heads"], "rms_norm_eps": llm["rms_norm_eps"]},
        **{"pad_token_id": llm["pad"], "bos_token_id": llm["bos"], "eos_token_id": llm["eos"]},
    }
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", **sizes}))
    taps = vision["layers"] + vision["select_layer"] + 1  # hidden states count the embeddings as the first
    model = VisualLanguageModel(
        language=lambda: LanguageModel(str(folder), adapter_bottleneck=None),
        vision=lambda: VisionEncoder(
            "ViT-L-14-quickgelu",
            taps=(taps - 1,),
            image_size=vision["image"],
            tower_options={
                **{"width": vision["hidden"], "layers": vision["layers"], "head_width": vision["hidden"] // vision["heads"]},
                **{"patch_size": vision["patch"], "mlp_ratio": vision["inter"] / vision["hidden"]},
            },
        ),
        bridges={"image_projector": partial(LinearBridge, markers=True)},
        regions=partial(
            PaddingRegionEncoder,
            tower_options={"width": region["width"], "layers": region["blocks"], "embed_dim": region["output_dim"]},
        ),
    )
    state = in_our_names(fixture.under("weights/"), fixture)
    tower = clip_tower(fixture.under("vision_weights/"), taps)
    state |= {f"vision.tower.{name}": value for name, value in tower.items()}
    state |= {f"regions.encoder.{name}": value for name, value in fixture.under("region_weights/backbone.").items()}
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and all(name.endswith("num_batches_tracked") for name in missing)
    return model


def stage_of(fixture: Fixture, name: str, folder: Path) -> VisualLanguageModel:
    """The reference's model as a stage trains it."""
    stage = STAGES[name](lambda: pvit(fixture, folder))
    stage.configure_model()
    return stage.eval().model


def batch(fixture: Fixture) -> Batch:
    """The recorded inputs as the data of this project is laid out: one placeholder an image and one a region, marks included."""
    special, patches = fixture.config["special_ids"], fixture.config["vision"]["patches"]
    image = [special["<im_start>"], *[special["<im_patch>"]] * patches, special["<im_end>"]]
    region = [special["<Region>"], special["<im_patch>"], special["</Region>"]]
    rows, pairs, regions = [], [], []
    for number, ids in enumerate(fixture["inputs/input_ids"]):
        length = int(fixture["inputs/attention_mask"][number].sum())
        labels, tokens, place = fixture["inputs/labels"][number, :length].tolist(), [], 0
        ids = ids[:length].tolist()
        while place < length:
            for whole, kind, found in ((image, Placeholder.IMAGE, pairs), (region, Placeholder.REGION, regions)):
                if ids[place : place + len(whole)] == whole:
                    tokens.append((int(kind), False))
                    found.append(number)
                    place += len(whole)
                    break
            else:
                tokens.append((ids[place], labels[place] >= 0))
                place += 1
        rows.append(tokens)
    longest = max(map(len, rows))
    padded = torch.tensor([[*row, *[(0, False)] * (longest - len(row))] for row in rows])
    pictures = tuple(fixture[f"inputs/region_image{number}_u8"] for number in range(len(rows)))
    boxes = [
        fixture[f"inputs/region_boxes{number}"] / torch.tensor([*picture.shape[:0:-1]] * 2)
        for number, picture in enumerate(pictures)
        if number in regions
    ]
    nothing = torch.zeros(len(rows), 0, dtype=torch.long)
    return Batch(
        pixels_ICHW=fixture["inputs/images"],
        ids_BT=padded[..., 0],
        valid_BT=torch.arange(longest) < torch.tensor([[len(row)] for row in rows]),
        supervised_BT=padded[..., 1].bool(),
        question_ids_BS=nothing,
        question_valid_BS=nothing.bool(),
        level_B=torch.zeros(len(rows), dtype=torch.long),
        pair_row_N=torch.tensor(pairs),
        pair_image_N=torch.tensor(pairs),
        region_row_G=torch.tensor(regions),
        region_image_G=torch.tensor(regions),
        boxes_G4=torch.cat(boxes),
        rows=tuple(Row(f"{number}:0", "any", Level.REGION, "", ("",)) for number in range(len(rows))),
        region_pictures=pictures,
    )


@for_each_fixture("pvit", "pvit_splice")
def test_region_features_and_tokens_are_the_authors(fixture, tmp_path):
    model, given = stage_of(fixture, "stage2", tmp_path), batch(fixture)
    assert given.region_row_G.tolist() == [0, 0, 1, 1, 1]
    raw_GF = model.regions.features([], given.region_pictures, given.region_image_G, given.boxes_G4)
    assert_close(raw_GF, torch.cat([fixture["outputs/region_raw0"], fixture["outputs/region_raw1"]]), **OUTPUTS)
    tokens_GRD = model.regions([], given.region_pictures, given.region_image_G, given.boxes_G4)
    expected = torch.cat([fixture["outputs/stage2/region_embeds0"], fixture["outputs/stage2/region_embeds1"]])
    assert_close(tokens_GRD[:, 1], expected, **OUTPUTS)


@for_each_fixture("pvit", "pvit_splice")
@pytest.mark.parametrize("stage", STAGES)
def test_what_the_language_model_reads_and_says_is_the_authors(fixture, stage, tmp_path):
    model, given = stage_of(fixture, stage, tmp_path), batch(fixture)
    fused = model.fused(given, given.valid_BT)
    valid_BT = fixture["inputs/attention_mask"].bool()
    assert torch.equal(fused.valid_BT, valid_BT)
    assert_close(fused.embeddings_BTD[valid_BT], fixture[f"outputs/{stage}/inputs_embeds"][valid_BT], **OUTPUTS)
    read = model.language.model(inputs_embeds=fused.embeddings_BTD, attention_mask=valid_BT.long())
    assert_close(read.logits[valid_BT], fixture[f"outputs/{stage}/logits"][valid_BT], **OUTPUTS)


@for_each_fixture("pvit", "pvit_splice")
@pytest.mark.parametrize("stage", STAGES)
def test_the_loss_and_the_gradients_of_all_that_trains_are_the_authors(fixture, stage, tmp_path):
    model = stage_of(fixture, stage, tmp_path)
    predictions = model(batch(fixture))
    loss = F.cross_entropy(predictions.logits_MV, predictions.targets_M)
    assert_close(loss, fixture[f"outputs/{stage}/loss"][0], **OUTPUTS)
    loss.backward()

    recorded = fixture.under(f"grads/{stage}/")
    expected = in_our_names(recorded, fixture)
    if stage == "stage1":  # of the original's whole table only two words have a gradient; they are the markers
        rows = recorded["model.embed_tokens.weight"].abs().sum(1).nonzero().flatten().tolist()
        assert rows == [fixture.config["special_ids"][word] for word in ("<Region>", "</Region>")]
        expected = {name: value for name, value in expected.items() if name.startswith("regions.")}
    else:
        words = fixture.config["llm"]["vocab"] - len(fixture.config["special_ids"])
        table = model.get_parameter("language.model.model.embed_tokens.weight").grad
        assert_close(table[:words], recorded["model.embed_tokens.weight"][:words], **GRADIENTS)
        del expected["language.model.model.embed_tokens.weight"]
    found = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert stage == "stage2" or found.keys() == expected.keys()
    for name, gradient in expected.items():
        assert_close(found[name], gradient, **GRADIENTS, msg=lambda text, name=name: f"{name}: {text}")


@for_each_fixture("pvit", "pvit_splice")
def test_markers_begin_where_the_original_s_new_words_do(fixture):
    before, after = fixture["init/embed_after_image_tokens"], fixture["init/embed_after_region_tokens"]
    markers = Markers(before.shape[1])
    markers.start_at(before.mean(0))
    assert_close(torch.stack([markers.start_D, markers.end_D]), after[len(before) :], **OUTPUTS)
