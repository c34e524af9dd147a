import pytest
import torch
from PIL import Image

from tests.tiny_model import prepare, tiny_model
from triscope.callbacks.routing import router_weights, routing_means, routing_picture, routing_sentence
from triscope.stages import ImageLevelStage, MixtureStage


def stage_of(kind, folder):
    stage = kind(lambda: tiny_model(prepare(folder)))
    stage.configure_model()
    return stage


def test_the_weights_are_those_of_every_layer_level_and_adapter(tmp_path):
    stage = stage_of(MixtureStage, tmp_path)
    one_hot = torch.eye(2).expand(2, 2, 2)
    assert torch.equal(router_weights(stage.model), one_hot)  # the start: each level its own adapter
    routers = [parameter for name, parameter in stage.model.named_parameters() if name.endswith(".router.image")]
    with torch.no_grad():
        routers[1][0, :8] = 1.0  # in layer 1, region-level rows use the image adapter on 8 of 32 places
    weights = router_weights(stage.model)
    assert weights[1, 0].tolist() == pytest.approx([1.0, 0.25])
    assert torch.equal(weights[0], one_hot[0])


def test_a_model_with_one_adapter_has_no_router_to_draw(tmp_path):
    assert router_weights(stage_of(ImageLevelStage, tmp_path).model) is None


def test_the_sentence_says_what_the_picture_shows():
    weights = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[0.5, 0.25], [0.75, 0.5]]])
    region, image = routing_sentence(weights, ("region", "image")).split(". For ")
    assert "For region-level rows the region adapter weighs 0.75 on average (least 0.50, in layer 1)" in region
    assert "the image adapter 0.12 (at most 0.25, in layer 1); their own adapter leads in 2 of 2 layers" in region
    assert "image adapter weighs 0.75" in image and "leads in 1 of 2 layers" in image


def test_what_is_logged_is_the_mean_over_the_layers():
    weights = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[0.5, 0.25], [0.75, 0.5]]])
    assert routing_means(weights, ("region", "image")) == {
        "routing/region rows, region adapter": 0.75,
        "routing/region rows, image adapter": 0.125,
        "routing/image rows, region adapter": 0.375,
        "routing/image rows, image adapter": 0.75,
    }


def test_the_picture_shows_large_weights_in_another_colour_than_small_ones():
    picture = routing_picture(torch.tensor([[[1.0, 0.0], [0.0, 1.0]]]), ("region", "image"))
    swapped = routing_picture(torch.tensor([[[0.0, 1.0], [1.0, 0.0]]]), ("region", "image"))
    assert picture.size == swapped.size
    assert picture.tobytes() != swapped.tobytes()
    counts = [sorted(count for count, color in image.getcolors(10**6) if count > 1000) for image in (picture, swapped)]
    assert counts[0] == counts[1]  # the same colours at other places


def test_a_run_draws_it_after_each_validation(run_folder):
    files = sorted((run_folder / "pictures" / "routing").glob("*.png"))
    assert len(files) == 2 and all(min(Image.open(file).size) > 100 for file in files)
