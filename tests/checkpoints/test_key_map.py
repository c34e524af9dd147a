import re

import pytest
import torch

from triscope.checkpoints.key_map import KeyMap, LeftOut, Rule
from triscope.data.errors import ConfigurationError

MAP = KeyMap(
    (
        Rule("enc.#.ff.*", "blocks.#.feed_forward.*", unless="block above the last"),
        Rule("tokens", "tokens", lambda rows: rows[0], lambda rows: rows[None]),
        Rule(("q", "k"), "qk", lambda q, k: torch.cat([q, k])),
    ),
    (LeftOut("optimizer.*", "no weights"),),
)
SOURCE = {
    "enc.0.ff.weight": torch.arange(4.0).view(2, 2),
    "enc.11.ff.weight": torch.arange(4.0).view(2, 2) + 9,
    "tokens": torch.ones(1, 3),
    "q": torch.zeros(2),
    "k": torch.ones(1),
}
EXPECTED = {
    "blocks.0.feed_forward.weight": torch.empty(2, 2, device="meta"),
    "blocks.11.feed_forward.weight": torch.empty(2, 2, device="meta"),
    "tokens": torch.empty(3, device="meta"),
    "qk": torch.empty(3, device="meta"),
}


def refused(source: dict, expected: dict) -> str:
    with pytest.raises(ConfigurationError) as error:
        MAP.apply(source, expected, "file.pth")
    return str(error.value)


def test_numbers_and_rests_are_carried_over_and_tensors_transformed():
    mapped = MAP.apply(SOURCE, EXPECTED, "file.pth")
    made = {entry.target: entry.make(SOURCE.__getitem__) for entry in mapped.entries}
    assert list(made) == list(EXPECTED)
    assert torch.equal(made["blocks.11.feed_forward.weight"], SOURCE["enc.11.ff.weight"])
    assert made["tokens"].tolist() == [1, 1, 1] and made["qk"].tolist() == [0, 0, 1]
    assert torch.equal(MAP.renamed(SOURCE)["qk"], made["qk"])


def test_what_is_left_out_is_listed_with_its_reason():
    more = {"optimizer.step": torch.zeros(1), "enc.12.ff.weight": torch.zeros(2, 2)}
    mapped = MAP.apply(SOURCE | more, EXPECTED, "file.pth")
    assert mapped.left_out == {"block above the last": ["enc.12.ff.weight"], "no weights": ["optimizer.step"]}


def test_an_unknown_tensor_of_a_block_that_the_model_has_is_not_left_out():
    assert "blocks.11.feed_forward.gate, which the model does not have" in refused(
        SOURCE | {"enc.11.ff.gate": torch.zeros(1)}, EXPECTED
    )


def test_a_tensor_that_no_rule_speaks_of_is_refused():
    assert "found tensors of no known place: strange.1, strange.2" in refused(
        SOURCE | {"strange.1": torch.zeros(1), "strange.2": torch.zeros(1)}, EXPECTED
    )


def test_a_place_that_stays_empty_is_refused():
    assert "found nothing for other; expected all 5 tensors" in refused(SOURCE, EXPECTED | {"other": torch.empty(1)})


def test_half_of_a_pair_is_refused():
    assert "found q without k" in refused({name: value for name, value in SOURCE.items() if name != "k"}, EXPECTED)


def test_another_shape_is_refused_with_both():
    message = refused(SOURCE | {"q": torch.zeros(5)}, EXPECTED)
    assert re.search(r"q, k of shape \(6,\); expected \(3,\) for qk", message)


def test_the_way_back_is_the_same_map():
    renames = KeyMap(MAP.rules[:2])
    there = renames.renamed({name: SOURCE[name] for name in list(SOURCE)[:3]})
    back = renames.inverse().renamed(there)
    assert back.keys() == set(list(SOURCE)[:3])
    assert all(torch.equal(back[name], SOURCE[name]) for name in back)
