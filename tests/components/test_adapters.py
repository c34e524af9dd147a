import pytest
import torch
from torch import Tensor, nn

from triscope.components.adapters import AdaptedFeedForward, Adapter, AdapterMixture, Route

WIDTH, REGION, IMAGE = 12, 0, 1


def awake(module: nn.Module) -> nn.Module:
    """The module with every parameter random: Up starts at zero, which would hide what is not added."""
    for parameter in module.parameters():
        nn.init.normal_(parameter, mean=0.5)
    return module


def mixture_with_one_hot_router(*levels: str) -> AdapterMixture:
    mixture = AdapterMixture(WIDTH, levels, bottleneck=4)
    awake(mixture.adapters)
    return mixture


def rows(count: int) -> Tensor:
    return torch.randn(count, 5, WIDTH, generator=torch.Generator().manual_seed(3))


def test_a_new_adapter_adds_nothing():
    assert torch.equal(Adapter(WIDTH)(rows(2)), torch.zeros(2, 5, WIDTH))


def test_an_adapter_of_flan_t5_xl_has_264257_parameters():
    assert sum(parameter.numel() for parameter in Adapter(2048).parameters()) == 264_257


@pytest.mark.parametrize(("level", "name"), [(REGION, "region"), (IMAGE, "image")])
def test_at_the_start_each_level_gets_its_own_adapter(level, name):
    mixture = mixture_with_one_hot_router("region", "image")
    torch.testing.assert_close(mixture(rows(2), torch.tensor([level, level])), mixture.adapters[name](rows(2)))


def test_each_row_is_routed_by_its_own_level():
    mixture, x = awake(AdapterMixture(WIDTH, bottleneck=4)), rows(3)
    levels = torch.tensor([IMAGE, REGION, IMAGE])
    alone = [mixture(x[[row]], levels[[row]]) for row in range(3)]
    torch.testing.assert_close(mixture(x, levels), torch.cat(alone))


def test_beams_of_a_row_share_its_level():
    mixture, x = awake(AdapterMixture(WIDTH, bottleneck=4)), rows(6)
    levels = torch.tensor([IMAGE, REGION])
    torch.testing.assert_close(mixture(x, levels), mixture(x, levels.repeat_interleave(3)))


def test_the_mixture_is_the_weighted_sum_of_its_adapters():
    mixture, x = awake(AdapterMixture(WIDTH, ("region", "image", "set"), bottleneck=4)), rows(3)
    levels = torch.tensor([2, 0, 1])
    expected = sum(mixture.router[name][levels][:, None] * adapter(x) for name, adapter in mixture.adapters.items())
    torch.testing.assert_close(mixture(x, levels), expected)


def test_a_token_alone_is_routed_as_among_others():
    mixture, x = awake(AdapterMixture(WIDTH, bottleneck=4)), rows(6)
    levels = torch.tensor([IMAGE, REGION])  # three beams each
    torch.testing.assert_close(mixture(x[:, :1], levels), mixture(x, levels)[:, :1])
    assert mixture(x[:, :1].bfloat16(), levels).dtype == torch.bfloat16


def test_rows_that_are_no_multiple_of_the_levels_are_an_error():
    with pytest.raises(ValueError, match="3 rows and 2 levels"):
        AdapterMixture(WIDTH)(rows(3), torch.tensor([0, 1]))


def test_names_do_not_depend_on_what_else_is_in_the_mixture():
    both = AdapterMixture(WIDTH).state_dict().keys()
    assert {"adapters.region.down.weight", "adapters.image.scale", "router.region", "router.image"} <= both
    assert AdapterMixture(WIDTH, ("image",)).state_dict().keys() == {name for name in both if ".image." in name}


def test_one_level_has_no_router_and_serves_every_row():
    mixture = awake(AdapterMixture(WIDTH, ("image",), bottleneck=4))
    assert mixture.router is None
    assert torch.equal(mixture(rows(2), torch.tensor([REGION, IMAGE])), mixture.adapters["image"](rows(2)))


def test_keeping_one_level_leaves_its_adapter_unrouted():
    mixture = awake(AdapterMixture(WIDTH, bottleneck=4))
    expected = mixture.adapters["image"](rows(2))
    mixture.keep_levels(["image"])
    assert mixture.state_dict().keys() == AdapterMixture(WIDTH, ("image",)).state_dict().keys()
    assert torch.equal(mixture(rows(2), torch.tensor([IMAGE, IMAGE])), expected)


def test_keeping_two_of_three_levels_keeps_the_numbers_of_the_levels():
    mixture, x = mixture_with_one_hot_router("region", "image", "set"), rows(1)
    mixture.keep_levels(["image", "set"])
    torch.testing.assert_close(mixture(x, torch.tensor([2])), mixture.adapters["set"](x))


@pytest.mark.parametrize("levels", [["video"], []])
def test_keeping_a_level_without_adapter_is_an_error(levels):
    with pytest.raises(ValueError, match=r"expected some of \['region', 'image'\]"):
        AdapterMixture(WIDTH).keep_levels(levels)


@pytest.mark.parametrize("levels", [("region", "image"), ("image",)])
def test_float32_adapters_work_in_the_precision_of_the_language_model(levels):
    mixture, route = awake(AdapterMixture(WIDTH, levels, bottleneck=4)), Route()
    route.level_B = torch.tensor([0, 0])
    adapted = AdaptedFeedForward(nn.Linear(WIDTH, WIDTH).bfloat16(), mixture, route)
    output = adapted(rows(2).bfloat16())
    output.float().sum().backward()
    assert output.dtype == torch.bfloat16
    assert {parameter.grad.dtype for parameter in mixture.parameters()} == {torch.float32}
    exact = adapted.original(rows(2).bfloat16()).float() + mixture(rows(2), route.level_B)
    torch.testing.assert_close(output.float(), exact, rtol=0.03, atol=0.1)


@pytest.mark.parametrize("levels", [("region", "image"), ("image",)])
def test_under_autocast_the_sum_keeps_the_precision_of_the_residual_stream(levels):
    mixture = awake(AdapterMixture(WIDTH, levels, bottleneck=4))
    with torch.autocast("cpu", torch.bfloat16):
        assert mixture(rows(2), torch.tensor([0, 0])).dtype == torch.float32
