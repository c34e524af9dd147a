"""RAM against recorded numbers of the network that LION ships, at the tolerances of the fixture's README."""

import pytest
import torch
import yaml
from torch.testing import assert_close

from tests.parity.fixture import Fixture, for_each_fixture
from triscope.cli import main
from triscope.tagging.tagger import Tagger, build_tagger, read_tagger

OUTPUTS = {"atol": 2e-5, "rtol": 2e-5}
recorded = for_each_fixture("lion", "ram")


@pytest.fixture
def tagger(fixture: Fixture, tmp_path) -> Tagger:
    """The recorded checkpoint, imported and read as a user's is."""
    sizes, trunk, head = fixture.config, fixture.config["swin"], fixture.config["tagging_head"]
    torch.save({"model": fixture.under("weights/")}, tmp_path / "ram.pth")
    (tmp_path / "names.txt").write_text("\n".join(sizes["tag_names"]))
    (tmp_path / "thresholds.txt").write_text("\n".join(repr(each) for each in fixture["inputs/class_threshold"].tolist()))
    options = {
        "trunk_options": {name: trunk[name] for name in ("embed_dim", "depths", "num_heads", "window_size")},
        "memory_width": sizes["image_proj_width"],
        "width": head["hidden_size"],
        "layers": head["num_hidden_layers"],
        "heads": head["num_attention_heads"],
        "feed_forward_width": head["intermediate_size"],
    }
    lists = {name: str(tmp_path / f"{name}.txt") for name in ("names", "thresholds")}
    arguments = {"weights": None, **lists, "image_size": trunk["img_size"], "network_options": options}
    file = tmp_path / "ram.yaml"
    file.write_text(yaml.safe_dump({"class_path": "triscope.tagging.ram.RamTagger", "init_args": arguments}))
    main(["import", "ram", str(tmp_path / "ram.pth"), "--model", str(file), "--out", str(tmp_path / "imported")])
    return build_tagger(read_tagger(tmp_path / "imported"))


@recorded
def test_every_stage_of_the_trunk_is_the_authors(fixture, tagger):
    trunk = tagger.network.trunk
    tokens_IHWC = trunk.patch_embed(fixture["inputs/image"])
    assert_close(tokens_IHWC.flatten(1, 2), fixture["outputs/patch_embed"], **OUTPUTS)
    block_tokens = tokens_IHWC
    for number, block in enumerate(trunk.layers[0].blocks):
        block_tokens = block(block_tokens)
        assert_close(block_tokens.flatten(1, 2), fixture[f"outputs/swin_stage0_block{number}"], **OUTPUTS)
    for number, stage in enumerate(trunk.layers):
        tokens_IHWC = stage(tokens_IHWC)
        is_last = number + 1 == len(trunk.layers)
        merged = tokens_IHWC if is_last else trunk.layers[number + 1].downsample(tokens_IHWC)
        assert_close(merged.flatten(1, 2), fixture[f"outputs/swin_stage{number}"], **OUTPUTS)


@recorded
def test_the_head_and_its_logits_are_the_authors(fixture, tagger):
    network = tagger.network
    tokens_IPW = network.tokens(fixture["inputs/image"])
    assert_close(tokens_IPW, fixture["outputs/swin"], **OUTPUTS)
    memory_IPM = network.image_projection(tokens_IPW)
    assert_close(memory_IPM, fixture["outputs/image_embeds"], **OUTPUTS)
    assert_close(network.label_queries(), fixture["outputs/label_queries"], **OUTPUTS)
    queries_IKW = network.label_queries().expand(len(tokens_IPW), -1, -1)
    for layer in network.layers:
        queries_IKW = layer(queries_IKW, memory_IPM)
    assert_close(queries_IKW, fixture["outputs/tagging_embed"], **OUTPUTS)
    assert_close(network(fixture["inputs/image"]), fixture["outputs/logits"], **OUTPUTS)


@recorded
def test_the_selected_tags_are_the_authors(fixture, tagger):
    probabilities_IK = tagger.probabilities(fixture["inputs/image"])
    assert_close(probabilities_IK, fixture["outputs/probabilities"], **OUTPUTS)
    selected_IK = probabilities_IK > torch.tensor(tagger.vocabulary.thresholds)
    assert_close(selected_IK.to(fixture["outputs/selected"].dtype), fixture["outputs/selected"])
    named = [" | ".join(tagger.vocabulary.names[k] for k in row.nonzero()[:, 0]) for row in selected_IK]
    assert named == fixture.description["expected_tag_strings"]
