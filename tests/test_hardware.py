import pytest
import torch

from triscope import hardware, precision


@pytest.mark.parametrize(("fast", "chosen"), [(True, torch.bfloat16), (False, torch.float32)])
def test_auto_is_bfloat16_only_where_the_machine_is_fast_at_it(fast, chosen, monkeypatch):
    monkeypatch.setattr(hardware, "multiplies_bfloat16", lambda: fast)
    assert hardware.chosen_dtype("auto") == chosen


def test_a_named_dtype_is_what_it_says():
    assert hardware.chosen_dtype("float32") == torch.float32
    assert hardware.chosen_dtype("bfloat16") == torch.bfloat16


@pytest.mark.parametrize(("fast", "computed_in"), [(True, torch.bfloat16), (False, torch.float32)])
def test_steps_run_in_bfloat16_only_where_the_machine_is_fast_at_it(fast, computed_in, monkeypatch):
    monkeypatch.setattr(precision, "multiplies_bfloat16", lambda: fast)
    layer = torch.nn.Linear(4, 4)
    with precision.AutoPrecision().forward_context():
        assert layer(torch.ones(1, 4)).dtype == computed_in
