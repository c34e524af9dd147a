from dataclasses import replace

import pytest
import torch

from tests.data.test_collate import encoded
from tests.data.tiny import ask, sample
from triscope.data.batch import Batch, Placeholder
from triscope.data.collate import EncodedSample, OtherPictures, collate
from triscope.data.controls import controls
from triscope.data.sample import Sample


def batch_of(*samples: Sample) -> Batch:
    """A batch whose pictures are of one shade each, counted through the batch, beside those of the sample before each."""
    shade = 0
    numbered: list[EncodedSample] = []
    for each in map(encoded, samples):
        pixels = {image: torch.full_like(picture, shade + order) for order, (image, picture) in enumerate(each.pixels.items())}
        shade += len(pixels)
        numbered.append(EncodedSample(pixels, each.rows))
    before = [list(each.pixels.values()) for each in numbered[-1:] + numbered[:-1]]
    with_others = [
        replace(each, others=OtherPictures({image: others[image % len(others)] for image in each.pixels}))
        for each, others in zip(numbered, before, strict=True)
    ]
    return collate(with_others if len(samples) > 1 else numbered, image_size=4)


def seen(batch: Batch) -> dict[str, list[int]]:
    """The shades that each row shows, in order; there are as many placeholders."""
    shades = batch.pixels_ICHW[:, 0, 0, 0].tolist()
    shown: dict[str, list[int]] = {row.key: [] for row in batch.rows}
    for row, image in zip(batch.pair_row_N.tolist(), batch.pair_image_N.tolist(), strict=True):
        shown[batch.rows[row].key].append(shades[image])
    placeholders = (batch.valid_BT & (batch.ids_BT == Placeholder.IMAGE)).sum(1).tolist()
    assert placeholders == [len(shades) for shades in shown.values()]
    return shown


def three_samples() -> Batch:
    """Of one, three and two pictures; the second is asked twice, once about two of its pictures, the last first."""
    twice = [ask(("What is this?", "one")), ask(("<image:3> or <image:1>?", "no"))]
    return batch_of(sample("a"), sample("b", twice, images=3), sample("c", images=2))


def test_each_control_changes_what_is_shown_and_nothing_else():
    batch = three_samples()
    assert seen(batch) == {"a:0": [0], "b:0": [1, 2, 3], "b:1": [3, 1], "c:0": [4, 5]}
    found = {name: seen(changed) for name, changed in controls(batch)}
    assert found == {
        "": seen(batch),
        "blind": {"a:0": [], "b:0": [], "b:1": [], "c:0": []},
        "shuffled": {"a:0": [4], "b:0": [0, 0, 0], "b:1": [0, 0], "c:0": [1, 2]},
        "reordered": {"b:0": [2, 3, 1], "b:1": [1, 3], "c:0": [5, 4]},
        "last_only": {"b:0": [3], "b:1": [1], "c:0": [5]},
        "without_1": {"b:0": [2, 3], "b:1": [1], "c:0": [5]},
        "without_2": {"b:0": [1, 3], "b:1": [3], "c:0": [4]},
        "without_3": {"b:0": [1, 2]},
    }


def test_the_words_of_a_row_are_the_same_under_every_control():
    batch = three_samples()

    def words(some: Batch) -> dict[str, list[int]]:
        rows = zip(some.rows, some.ids_BT, some.valid_BT & (some.ids_BT >= 0), strict=True)
        return {row.key: ids[kept].tolist() for row, ids, kept in rows}

    for name, changed in controls(batch):
        assert words(changed).items() <= words(batch).items(), name
        assert [row for row in batch.rows if row in changed.rows] == list(changed.rows)


def test_rows_keep_their_questions_levels_and_regions_when_others_are_left_out():
    regions = {"region_row_G": torch.tensor([1, 2, 2]), "region_image_G": torch.tensor([1, 3, 1]), "boxes_G4": torch.rand(3, 4)}
    batch = replace(three_samples(), **regions)
    chosen = batch.of_rows(torch.tensor([False, False, True, True]))
    assert chosen.region_row_G.tolist() == [0, 0] and chosen.region_image_G.tolist() == [3, 1]
    assert torch.equal(chosen.boxes_G4, batch.boxes_G4[1:])
    assert [row.key for row in chosen.rows] == ["b:1", "c:0"]
    assert torch.equal(chosen.question_ids_BS, batch.question_ids_BS[2:])
    assert torch.equal(chosen.level_B, batch.level_B[2:]) and chosen.pair_row_N.tolist() == [0, 0, 1, 1]


def test_a_batch_of_single_pictures_has_the_two_controls_of_old():
    assert [name for name, _ in controls(batch_of(sample("a"), sample("b")))] == ["", "blind", "shuffled"]


def test_the_pictures_of_a_lone_sample_cannot_be_exchanged():
    batch = batch_of(sample("a", images=2))
    assert "shuffled" not in dict(controls(batch))
    with pytest.raises(ValueError, match="needs those of other samples"):
        batch.with_shuffled_images()


def test_single_pictures_are_shuffled_as_ever():
    shown = seen(batch_of(sample("a"), sample("b"), sample("c")).with_shuffled_images())
    assert shown == {"a:0": [2], "b:0": [0], "c:0": [1]}


def test_of_a_region_whose_picture_is_left_out_only_the_place_is_told():
    regions = {"region_row_G": torch.tensor([1, 1]), "region_image_G": torch.tensor([1, 3]), "boxes_G4": torch.rand(2, 4)}
    found = dict(controls(replace(three_samples(), **regions)))
    assert found["without_1"].region_image_G.tolist() == [-1, 3]
    assert found["last_only"].region_image_G.tolist() == [-1, 3]
    assert found["without_2"].region_image_G.tolist() == [1, 3]
