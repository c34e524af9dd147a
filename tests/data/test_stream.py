from collections import Counter

import pytest

from tests.data.tiny import numbered_shards
from triscope.data.errors import ConfigurationError
from triscope.data.stream import Cursor, SampleStream, Steps


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    return numbered_shards(tmp_path_factory.mktemp("shards") / "many", count=43, samples_per_shard=5)


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    return numbered_shards(tmp_path_factory.mktemp("shards") / "few", count=10, samples_per_shard=3, prefix="t")


def places(stream, epoch):
    return [stream.locate(epoch, position) for position in range(len(stream))]


def test_the_order_is_a_function_of_seed_epoch_and_position_alone(many):
    first, second = (SampleStream({"many": many}, seed=3, window_shards=2) for _ in range(2))
    in_order = [places(first, epoch) for epoch in range(2)]
    backwards = [second.locate(epoch, position) for epoch in (1, 0) for position in reversed(range(43))]
    assert backwards == [*reversed(in_order[1]), *reversed(in_order[0])]
    assert in_order[0] != in_order[1]
    assert in_order[0] != places(SampleStream({"many": many}, seed=4, window_shards=2), 0)


@pytest.mark.parametrize("window_shards", [1, 2, 4, 100])
def test_an_epoch_has_every_sample_once(many, window_shards):
    stream = SampleStream({"many": many}, window_shards=window_shards)
    keys = Counter(stream.read(1, position).key for position in range(43))
    assert keys == Counter(f"s{number:03d}" for number in range(43))


def test_samples_are_shuffled_among_the_shards_of_a_window_only(many):
    stream = SampleStream({"many": many}, window_shards=3)
    shards = [place.shard for place in places(stream, 0)]
    windows = [set(shards[start : start + 13]) for start in (0, 15)]  # a shard may be the short one
    assert all(len(window) <= 4 for window in windows)
    assert shards != sorted(shards)


def test_without_shuffling_the_order_is_that_of_the_shards(many):
    stream = SampleStream({"many": many}, shuffle=False)
    assert [stream.read(0, position).key for position in range(43)] == [f"s{number:03d}" for number in range(43)]


def test_sets_of_natural_weight_are_seen_exactly_once_each(many, few):
    stream = SampleStream({"many": many, "few": few}, seed=1)
    for epoch in range(3):
        assert len(set(places(stream, epoch))) == len(stream) == 53


def test_weights_are_shares_of_the_samples_anywhere_in_the_epoch(many, few):
    stream = SampleStream({"many": many, "few": few}, {"many": 3.0, "few": 1.0}, samples_per_epoch=400)
    sets = [place.set for place in places(stream, 0)]
    assert Counter(sets) == {"many": 300, "few": 100}
    for start in range(0, 400, 40):
        assert 7 <= sets[start : start + 40].count("few") <= 13


def test_a_set_goes_through_all_its_samples_before_it_repeats_one_across_epochs(many, few):
    stream = SampleStream({"many": many, "few": few}, {"many": 1.0, "few": 1.0}, samples_per_epoch=30)
    drawn = [place for epoch in range(4) for place in places(stream, epoch) if place.set == "few"]
    assert len(drawn) == 60
    for start in range(0, 60, 10):
        assert len(set(drawn[start : start + 10])) == 10


def test_a_mixture_that_does_not_fit_is_refused(many):
    with pytest.raises(ConfigurationError, match="Give every set a weight"):
        SampleStream({"many": many}, {"other": 1.0})
    with pytest.raises(ConfigurationError, match="not all 0"):
        SampleStream({"many": many}, {"many": 0.0})
    with pytest.raises(ConfigurationError, match="at least one"):
        SampleStream({})


@pytest.mark.parametrize("world_size", [1, 2, 3, 5])
def test_ranks_partition_the_epoch_and_have_the_same_number_of_steps(world_size):
    ranks = [list(Steps(43, 4, rank, world_size)) for rank in range(world_size)]
    assert sorted(position for steps in ranks for step in steps for position in step.positions) == list(range(43))
    assert len({len(steps) for steps in ranks}) == 1
    assert len({step.after for steps in ranks for step in [steps[-1]]}) == 1


def test_the_cursor_of_one_number_of_ranks_serves_another():
    seen = []
    first = list(Steps(43, 4, 0, 2)), list(Steps(43, 4, 1, 2))
    for steps in first:
        seen += [position for step in steps[:3] for position in step.positions]
    cursor = first[0][2].after
    for rank in range(3):
        steps = Steps(43, 4, rank, 3)
        steps.cursor = Cursor(**cursor.state_dict())
        assert len(steps) == 3 + len(list(steps))
        seen += [position for step in steps for position in step.positions]
    assert sorted(seen) == list(range(43))


def test_telling_the_epoch_that_the_cursor_is_in_moves_nothing():
    steps = Steps(43, 4)
    steps.cursor = Cursor(2, 8, 2)
    steps.set_epoch(2)
    assert steps.cursor == Cursor(2, 8, 2)
    steps.set_epoch(3)
    assert steps.cursor == Cursor(3, 0, 0)
