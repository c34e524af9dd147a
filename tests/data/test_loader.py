import io
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch

from tests.data.tiny import ask, causal_tokenizers, jpeg, numbered_shards, sample, write_shards
from triscope.data.batch import Batch
from triscope.data.errors import BadSampleError, BadShardError
from triscope.data.loader import BatchSource, Loader, Selection
from triscope.data.prompts import PromptStyle, PromptWriter
from triscope.data.sample import Level
from triscope.data.shard_writer import ShardWriter
from triscope.data.shards import ShardSet
from triscope.data.stream import SampleStream, Steps
from triscope.data.transforms import PictureTransform


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return numbered_shards(tmp_path_factory.mktemp("shards") / "set", count=23)


def loader(
    shards: ShardSet,
    samples_per_batch: int = 4,
    rank: int = 0,
    world_size: int = 1,
    shuffle: bool = True,
    selection: Selection = Selection(),  # noqa: B008
    shared_pictures: bool = True,
    **options,
) -> Loader:
    stream = SampleStream({"set": shards}, seed=5, shuffle=shuffle, window_shards=2)
    writer = PromptWriter(PromptStyle(), causal_tokenizers())
    transform = PictureTransform(8, flip_probability=0.5)
    source = BatchSource(stream, transform, writer, selection, shared_pictures=shared_pictures)
    return Loader(source, Steps(len(stream), samples_per_batch, rank, world_size), **options)


def keys(batches) -> list[str]:
    return [row.key.partition(":")[0] for batch in batches for row in batch.rows]


def same(first: Batch, second: Batch) -> bool:
    tensors = (name for name, value in vars(first).items() if isinstance(value, torch.Tensor))
    return first.rows == second.rows and all(torch.equal(getattr(first, name), getattr(second, name)) for name in tensors)


def bad_shards(folder: Path, bad: dict[int, bytes], count: int = 12) -> ShardSet:
    """Samples of which some have other bytes for a picture."""
    with ShardWriter(folder, 4) as writer:
        for number in range(count):
            writer.write(sample(f"s{number:03d}"), [bad.get(number, jpeg())])
    return ShardSet.open(folder)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_evaluation_pass_is_exact_and_repeatable(shards, workers):
    exact = loader(shards, shuffle=False, workers=workers)
    assert len(exact) == 6
    for _ in range(2):
        assert keys(exact) == [f"s{number:03d}" for number in range(23)]


def test_an_evaluation_pass_that_was_broken_off_starts_again(shards):
    exact = loader(shards, shuffle=False)
    next(iter(exact))
    assert len(list(exact)) == 6


def test_any_number_of_workers_makes_the_same_batches(shards):
    alone, three = list(loader(shards)), list(loader(shards, workers=3))
    assert len(alone) == len(three) == 6
    assert all(same(*pair) for pair in zip(alone, three, strict=True))


@pytest.mark.parametrize("world_size", [2, 3, 4])
def test_ranks_read_each_sample_once_and_the_same_number_of_batches(shards, world_size):
    ranks = [list(loader(shards, rank=rank, world_size=world_size)) for rank in range(world_size)]
    assert len({len(batches) for batches in ranks}) == 1
    counted = Counter(key for batches in ranks for key in keys(batches))
    assert set(counted) == {f"s{number:03d}" for number in range(23)}
    assert sum(counted.values()) == 23


def test_a_rank_without_a_sample_repeats_one_of_another_rank(shards):
    ranks = [keys(loader(shards, samples_per_batch=1, rank=rank, world_size=4)) for rank in range(4)]
    assert [len(read) for read in ranks] == [6, 6, 6, 6]
    counted = Counter(key for read in ranks for key in read)
    assert len(counted) == 23
    assert counted[ranks[3][-1]] == 2
    assert ranks[3][-1] == ranks[0][-1]


@pytest.mark.parametrize(("workers_before", "workers_after"), [(0, 0), (2, 0), (0, 3), (2, 3)])
def test_a_resumed_run_has_the_batches_of_an_undisturbed_one(shards, workers_before, workers_after):
    undisturbed = loader(shards, repeats=True)
    expected = [batch for _ in range(3) for batch in undisturbed]
    interrupted = loader(shards, repeats=True, workers=workers_before)
    batches = list(interrupted)
    running = iter(interrupted)
    batches += [next(running), next(running)]
    resumed = loader(shards, repeats=True, workers=workers_after)
    resumed.load_state_dict(interrupted.state_dict())
    assert resumed.state_dict() == {"epoch": 1, "position": 8, "batches": 2}
    assert len(resumed) == 6
    batches += [batch for _ in range(2) for batch in resumed]
    interrupted.close()
    resumed.close()
    assert len(batches) == 18
    assert all(same(*pair) for pair in zip(batches, expected, strict=True))


def test_every_sample_of_an_epoch_is_read_once_though_the_run_goes_on_with_other_ranks(shards):
    read, before = [], [loader(shards, rank=rank, world_size=2, repeats=True) for rank in range(2)]
    for one in before:
        running = iter(one)
        read += keys([next(running)])
    for rank in range(3):
        resumed = loader(shards, rank=rank, world_size=3, repeats=True)
        resumed.load_state_dict(before[0].state_dict())
        read += keys(resumed)
    assert sorted(read) == [f"s{number:03d}" for number in range(23)]


def test_the_epoch_that_lightning_tells_decides_the_order(shards):
    told, counted = loader(shards, repeats=True), loader(shards, repeats=True)
    list(counted)
    told.sampler.set_epoch(1)
    assert keys(told) == keys(counted)
    assert keys(told) != keys(loader(shards))


def test_a_corrupt_picture_is_named_counted_and_left_out(tmp_path):
    exact = loader(bad_shards(tmp_path / "set", {5: b"not a picture"}), shuffle=False)
    assert "s005" not in keys(exact)
    (error,) = exact.skipped
    assert "shard-000001.tar, key 's005', 0.jpg" in str(error)
    assert [error.expected for error in exact.skipped] == ["a whole JPEG, PNG or WebP"]


@pytest.mark.parametrize("workers", [0, 2])
def test_beyond_the_budget_the_pass_stops_with_the_list(tmp_path, workers):
    bad = {2: b"not a picture", 7: jpeg()[:300], 9: jpeg(width=41)}
    within = loader(bad_shards(tmp_path / "set", bad), workers=workers, bad_samples_allowed=3)
    assert len(keys(within)) == 9
    within.close()
    beyond = loader(ShardSet.open(tmp_path / "set"), workers=workers, bad_samples_allowed=2)
    with pytest.raises(BadShardError, match="3 unusable samples") as told:
        list(beyond)
    beyond.close()
    assert all(key in str(told.value) for key in ("s002", "s007", "s009"))


def test_a_batch_of_bad_samples_alone_is_filled_by_the_next_good_one(tmp_path):
    exact = loader(bad_shards(tmp_path / "set", {4: b"x", 5: b"x"}), samples_per_batch=2, shuffle=False, bad_samples_allowed=2)
    assert keys(exact)[4:6] == ["s006", "s006"]
    assert len(exact.skipped) == 2


def test_a_shard_cut_after_it_was_opened_costs_the_samples_behind_the_cut(tmp_path):
    shards = numbered_shards(tmp_path / "set", count=8)
    with open(tmp_path / "set" / "shard-000001.tar", "r+b") as file:
        file.truncate(2 * 512)
    exact = loader(shards, shuffle=False, bad_samples_allowed=4)
    assert set(keys(exact)) == {f"s{number:03d}" for number in range(4)}
    assert len(exact.skipped) == 4


def test_a_shard_cut_before_it_is_opened_is_refused(tmp_path):
    numbered_shards(tmp_path / "set", count=8)
    with open(tmp_path / "set" / "shard-000001.tar", "r+b") as file:
        file.truncate(1024)
    with pytest.raises(BadShardError, match=r"shard-000001\.tar: found 1024 bytes"):
        ShardSet.open(tmp_path / "set")


@pytest.mark.parametrize("shared", [True, False])
def test_a_picture_is_decoded_once_for_all_its_conversations_or_once_for_each(tmp_path, monkeypatch, shared):
    asked = [ask(("What?", answer)) for answer in ("one", "two", "three")]
    shards = write_shards(tmp_path / "set", [sample(conversations=asked)])
    decoded = []
    decode = PictureTransform.pixels
    monkeypatch.setattr(PictureTransform, "pixels", lambda *told: decoded.append(told) or decode(*told))
    (batch,) = loader(shards, shared_pictures=shared)
    assert len(batch) == 3
    assert len(decoded) == len(batch.pixels_ICHW) == (1 if shared else 3)
    assert batch.pair_image_N.tolist() == ([0, 0, 0] if shared else [0, 1, 2])


def test_rows_that_share_no_pictures_show_and_draw_what_they_would_if_they_did(tmp_path):
    asked = [ask(("What is <image:1>?", "one")), ask(("What is <image:3> and <image:1>?", "two")), ask(("What?", "three"))]
    with ShardWriter(tmp_path / "set", 4) as writer:
        for number in range(4):  # each picture in two halves, so that a mirrored one is another
            writer.write(sample(f"s{number}", asked, images=3), [halves(20 * (3 * number + image)) for image in range(3)])
    stream = SampleStream({"set": ShardSet.open(tmp_path / "set")}, shuffle=False)
    transform = PictureTransform(8, flip_probability=0.5, region_sides=(30, 40))
    writer = PromptWriter(PromptStyle(), causal_tokenizers())
    shared, apart = (
        next(iter(Loader(BatchSource(stream, transform, writer, Selection(), True, shares), Steps(4, 4))))
        for shares in (True, False)
    )
    assert len(apart.pixels_ICHW) == len(apart.pair_image_N) > len(shared.pixels_ICHW)
    assert apart.rows == shared.rows and torch.equal(apart.ids_BT, shared.ids_BT)
    for name in ("pixels_ICHW", "other_pixels_ICHW", "region_pictures", "other_region_pictures"):
        shown = [torch.stack([*getattr(batch, name)])[batch.pair_image_N] for batch in (apart, shared)]
        assert torch.equal(*shown)
    for batch in (shared, apart):
        assert shades(batch.region_pictures) == shades(batch.pixels_ICHW)
        assert shades(batch.other_region_pictures) == shades(batch.other_pixels_ICHW)


def shades(pictures: Iterable[torch.Tensor]) -> list[int]:
    """Of the half of each picture that is not black."""
    return [int(picture[0, 0, [0, -1]].max()) for picture in pictures]


def halves(shade: int) -> bytes:
    """A picture whose left half is black."""
    buffer = io.BytesIO()
    pixels_HWC = np.full((30, 40, 3), shade, dtype=np.uint8)
    pixels_HWC[:, :20] = 0
    PIL.Image.fromarray(pixels_HWC).save(buffer, "PNG")
    return buffer.getvalue()


def test_conversations_are_drawn_anew_in_every_epoch(tmp_path):
    asked = [ask(("What?", answer)) for answer in ("one", "two", "three", "yes", "no")]
    shards = write_shards(tmp_path / "set", [sample(conversations=asked)])
    drawn = loader(shards, selection=Selection(conversations_per_image=2), repeats=True)
    epochs = [tuple(row.answers[0] for batch in drawn for row in batch.rows) for _ in range(12)]
    assert all(len(set(answers)) == 2 for answers in epochs)
    assert len(set(epochs)) > 3


def test_only_wanted_levels_and_tasks_are_asked_and_nothing_else_is_decoded(tmp_path):
    image, region = ask(("What?", "one")), ask(("Where?", "two"), level=Level.REGION, task="pointing")
    records = [sample(f"s{number}", [image] if number % 2 else [image, region]) for number in range(4)]
    shards = write_shards(tmp_path / "set", records)
    for selection in (Selection(levels=(Level.REGION,)), Selection(tasks=("pointing",))):
        (batch,) = loader(shards, selection=selection)
        assert {row.task for row in batch.rows} == {"pointing"}
        assert len(batch) == len(batch.pixels_ICHW) == 2


@pytest.mark.parametrize("workers", [0, 1])
def test_data_without_a_wanted_conversation_is_told(shards, workers):
    with pytest.raises(BadShardError, match=r"no sample with a conversation that can be used; expected .* task caption"):
        list(loader(shards, selection=Selection(tasks=("caption",)), workers=workers))


def test_where_every_sample_is_bad_what_is_wrong_with_the_first_is_told_with_its_own_remedy(tmp_path):
    broken = loader(bad_shards(tmp_path / "set", dict.fromkeys(range(12), b"x")), shuffle=False)
    with pytest.raises(BadSampleError) as told:
        list(broken)
    assert (told.value.where, told.value.expected) == (
        f"{tmp_path}/set/shard-000000.tar, key 's000', 0.jpg",
        "a whole JPEG, PNG or WebP",
    )
    assert "none of the 12 samples can be used" in told.value.found and "levels and tasks" not in str(told.value)


def test_where_the_index_of_every_shard_is_lost_it_is_asked_for_and_no_other_data(tmp_path):
    shards = numbered_shards(tmp_path / "set", count=8)
    for offsets in (tmp_path / "set").glob("shard-*.index.json"):
        offsets.unlink()
    with pytest.raises(BadShardError, match="none of the 8 samples can be used") as told:
        list(loader(shards, shuffle=False))
    assert "levels and tasks" not in str(told.value)


def test_where_no_good_sample_has_a_wanted_conversation_a_bad_one_is_told_beside_it(tmp_path):
    mixed = loader(bad_shards(tmp_path / "set", {3: b"x"}), selection=Selection(tasks=("caption",)), shuffle=False)
    with pytest.raises(BadShardError, match="no sample with a conversation that can be used"):
        list(mixed)


# Pictures of other samples -----------------------------------------------------------------------------------------------


def others(folder: Path, samples_per_batch: int, count: int = 5) -> list[int]:
    """The shades of the other samples' pictures, in the order of the set; sample k is of shade 40 k, and the third has none."""
    with ShardWriter(folder, 2) as writer:
        for number in range(count):
            images = 0 if number == 2 else 1
            writer.write(sample(f"s{number}", images=images), [jpeg(40 * number)] * images)
    stream = SampleStream({"set": ShardSet.open(folder)}, shuffle=False)
    writer = PromptWriter(PromptStyle(), causal_tokenizers())
    source = BatchSource(stream, PictureTransform(8), writer, Selection(), with_others=True)
    batches = list(Loader(source, Steps(len(stream), samples_per_batch)))
    known = [batch.other_pixels_ICHW for batch in batches if batch.other_pixels_ICHW is not None]
    return [int(picture[0, 0, 0]) for pictures in known for picture in pictures]


@pytest.mark.parametrize("samples_per_batch", [1, 2, 5])
def test_a_picture_stands_beside_that_of_the_sample_before_it_in_any_batch(tmp_path, samples_per_batch):
    shades = others(tmp_path / "set", samples_per_batch)
    assert shades == pytest.approx([160, 0, 40, 120], abs=2)


def test_a_lone_picture_has_no_other(tmp_path):
    with ShardWriter(tmp_path / "set", 2) as writer:
        writer.write(sample("a"), [jpeg()])
        writer.write(sample("b", images=0), [])
    stream = SampleStream({"set": ShardSet.open(tmp_path / "set")}, shuffle=False)
    source = BatchSource(stream, PictureTransform(8), PromptWriter(PromptStyle(), causal_tokenizers()), Selection(), True)
    (batch,) = Loader(source, Steps(len(stream), 2))
    assert batch.other_pixels_ICHW is None
