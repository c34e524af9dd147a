import pytest
import torch

from triscope.components.soft_prompt import SoftPrompt


@pytest.mark.parametrize("init_std", [1.0, 0.02])
def test_it_is_one_learned_vector_of_the_asked_spread(init_std):
    torch.manual_seed(0)
    prompt = SoftPrompt(4096, init_std=init_std)
    assert prompt().shape == (4096,)
    assert prompt().std().item() == pytest.approx(init_std, rel=0.05)
    prompt().sum().backward()
    assert [parameter.grad.eq(1).all().item() for parameter in prompt.parameters()] == [True]
