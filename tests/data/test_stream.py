from collections import Counter
from itertools import groupby

import pytest

from tests.data.tiny import numbered_shards
from triscope.data.errors import ConfigurationError
from triscope.data.shard_index import Counts
from triscope.data.shards import ShardSet
from triscope.data.stream import Cursor, SampleStream, Steps


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    return numbered_shards(tmp_path_factory.mktemp("shards") / "many", count=43, samples_per_shard=5)


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    return numbered_shards(tmp_path_factory.mktemp("shards") / "few", count=10, samples_per_shard=3, prefix="t")


def places(stream, epoch):
    return [stream.locate(epoch, position) for position in range(len(stream))]


def test_the_order_is_a_function_of_seed_epoch_and_position_alone(many, few):
    first, second, other = (SampleStream({"many": many, "few": few}, seed=seed, window_shards=2) for seed in (3, 3, 4))
    in_order = [places(first, epoch) for epoch in range(2)]
    backwards = [second.locate(epoch, position) for epoch in (1, 0) for position in reversed(range(53))]
    assert backwards == [*reversed(in_order[1]), *reversed(in_order[0])]
    for name in ("many", "few"):  # of the samples of each set
        orders = [[place for place in each if place.set == name] for each in (*in_order, places(other, 0))]
        assert orders[0] != orders[1] and orders[0] != orders[2]
    mixed = [[place.set for place in each] for each in (*in_order, places(other, 0))]
    assert mixed[0] != mixed[1] and mixed[0] != mixed[2]


def test_choices_about_a_sample_are_drawn_from_seed_epoch_and_position(many):
    streams = [SampleStream({"many": many}, seed=seed) for seed in (0, 1)]
    drawn = [[each.generator(epoch, position).random() for each in streams] for epoch in (0, 1) for position in (0, 1)]
    assert len({number for pair in drawn for number in pair}) == 8
    assert streams[0].generator(0, 1).random() == drawn[1][0]


@pytest.mark.parametrize("window_shards", [1, 2, 4, 100])
def test_an_epoch_has_every_sample_once(many, window_shards):
    stream = SampleStream({"many": many}, window_shards=window_shards)
    keys = Counter(stream.read(1, position).key for position in range(43))
    assert keys == Counter(f"s{number:03d}" for number in range(43))


def test_samples_are_shuffled_among_the_shards_of_a_window_only(many):
    stream = SampleStream({"many": many}, window_shards=3)
    shards = [place.shard for place in places(stream, 0)]
    windows = [shards[start : start + 13] for start in (0, 15)]  # a shard may be the short one
    assert [len(set(window)) for window in windows] == [3, 3]
    assert all(len(list(groupby(window))) > 3 for window in windows), "shard by shard: no sample is shuffled"
    assert set(windows[0]) != {0, 1, 2}, "shards are in order"


def test_every_pass_has_another_order_of_shards_and_every_window_another_of_samples(tmp_path):
    stream = SampleStream({"even": numbered_shards(tmp_path / "even", count=40, samples_per_shard=8)}, window_shards=1)
    epochs = [places(stream, epoch) for epoch in range(2)]
    assert [place.shard for place in epochs[0][::8]] != [place.shard for place in epochs[1][::8]]
    windows = {tuple(place.number for place in epoch[start : start + 8]) for epoch in epochs for start in range(0, 40, 8)}
    assert len(windows) == 10


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
    uneven = SampleStream({"many": many, "few": few}, {"many": 2.0, "few": 1.0}, samples_per_epoch=10)
    assert Counter(place.set for place in places(uneven, 0)) == {"many": 7, "few": 3}


def test_a_set_goes_through_all_its_samples_before_it_repeats_one_across_epochs(many, few):
    stream = SampleStream({"many": many, "few": few}, {"many": 1.0, "few": 1.0}, samples_per_epoch=30)
    drawn = [place for epoch in range(4) for place in places(stream, epoch) if place.set == "few"]
    assert len(drawn) == 60
    for start in range(0, 60, 10):
        assert len(set(drawn[start : start + 10])) == 10


def test_a_mixture_that_does_not_fit_is_refused(many, few):
    with pytest.raises(ConfigurationError, match="Give every set a weight"):
        SampleStream({"many": many}, {"other": 1.0})
    with pytest.raises(ConfigurationError, match="not all 0"):
        SampleStream({"many": many}, {"many": 0.0})
    with pytest.raises(ConfigurationError, match="0 or more"):
        SampleStream({"many": many, "few": few}, {"many": 2.0, "few": -1.0})
    with pytest.raises(ConfigurationError, match="sets of the stream: found none; expected at least one"):
        SampleStream({})
    with pytest.raises(ConfigurationError, match="set empty: found no sample"):
        SampleStream({"many": many, "empty": ShardSet(many.folder, (), Counts())})


@pytest.mark.parametrize("world_size", [1, 2, 3, 5])
def test_ranks_partition_the_epoch_and_have_the_same_number_of_steps(world_size):
    ranks = [list(Steps(43, 4, rank, world_size)) for rank in range(world_size)]
    assert sorted(position for steps in ranks for step in steps for position in step.positions) == list(range(43))
    for together in zip(*ranks, strict=True):
        (first, after), *others = {(step.first, step.after) for step in together}
        assert not others
        assert sorted(position for step in together for position in step.positions) == list(range(first, after.position))
        read = [len(step.positions) for step in together]
        assert max(read) <= min(read) + 1
    assert after == Cursor(0, 43, len(ranks[0]))


def test_the_cursor_of_one_number_of_ranks_serves_another():
    seen = []
    for rank in range(2):
        steps = Steps(43, 4, rank, 2)
        steps.set_epoch(5)
        before = list(steps)[:3]
        seen += [position for step in before for position in step.positions]
    assert before[-1].after == Cursor(5, 24, 3)
    for rank in range(3):
        steps = Steps(43, 4, rank, 3)
        steps.cursor = Cursor(**before[-1].after.state_dict())
        rest = list(steps)
        assert len(steps) == 3 + len(rest) and not steps.exhausted
        seen += [position for step in rest for position in step.positions]
        steps.cursor = rest[-1].after
        assert steps.cursor == Cursor(5, 43, 3 + len(rest)) and steps.exhausted
    assert sorted(seen) == list(range(43))


def test_telling_the_epoch_that_the_cursor_is_in_moves_nothing():
    steps = Steps(43, 4)
    steps.cursor = Cursor(2, 8, 2)
    steps.set_epoch(2)
    assert steps.cursor == Cursor(2, 8, 2)
    steps.set_epoch(3)
    assert steps.cursor == Cursor(3, 0, 0)
