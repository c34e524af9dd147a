from dataclasses import replace

import torch

from tests.data.tiny import ask, causal_tokenizers, sample
from triscope.data.batch import LEVELS
from triscope.data.boxes import Box
from triscope.data.collate import EncodedSample, OtherPictures, collate
from triscope.data.prompts import PromptStyle, PromptWriter
from triscope.data.sample import Level, Region, Sample


def encoded(one: Sample) -> EncodedSample:
    rows = PromptWriter(PromptStyle(), causal_tokenizers()).rows(one, [], range(len(one.conversations)), "here")
    shown = sorted({image for row in rows for image in row.images})
    return EncodedSample({image: torch.full((3, 4, 4), image, dtype=torch.uint8) for image in shown}, rows)


def test_an_image_stands_once_however_many_rows_show_it():
    asked = [ask(("What?", "one")), ask(("Where?", "two")), ask(("What is this?", "three"))]
    batch = collate([encoded(sample(conversations=asked)), encoded(sample("b"))], image_size=4)
    assert len(batch) == 4
    assert batch.pixels_ICHW.shape == (2, 3, 4, 4)
    assert batch.pair_row_N.tolist() == [0, 1, 2, 3]
    assert batch.pair_image_N.tolist() == [0, 0, 0, 1]
    assert [row.images for row in batch.rows] == [(0,)] * 4


def test_pairs_are_in_row_order_and_reading_order():
    two = sample(conversations=[ask(("<image:2> or <image:1>?", "no")), ask(("<image:2>?", "yes"))], images=2)
    batch = collate([encoded(sample()), encoded(two)], image_size=4)
    assert batch.pair_row_N.tolist() == [0, 1, 1, 2]
    assert batch.pair_image_N.tolist() == [0, 2, 1, 2]
    assert batch.pixels_ICHW[:, 0, 0, 0].tolist() == [0, 0, 1]


def test_rows_are_padded_on_the_right():
    batch = collate([encoded(sample()), encoded(sample("b", [ask(("What?", "no"))]))], image_size=4)
    lengths = batch.valid_BT.sum(1)
    for row, length in enumerate(lengths.tolist()):
        assert batch.valid_BT[row, :length].all()
        assert not batch.supervised_BT[row, length:].any()
    assert lengths[0] > lengths[1]
    assert (batch.supervised_BT & ~batch.valid_BT).sum() == 0
    assert batch.supervised_BT.sum(1).tolist() == [3, 2]
    assert batch.question_valid_BS.sum(1).tolist() == [4, 2]


def test_levels_are_numbers_of_the_legend():
    both = [ask(("What?", "one"), level=Level.REGION), ask(("Where?", "two"), level=Level.IMAGE)]
    batch = collate([encoded(sample(conversations=both))], image_size=4)
    assert [LEVELS[number] for number in batch.level_B.tolist()] == [Level.REGION, Level.IMAGE]


def test_a_batch_of_text_alone_has_no_image_and_keeps_its_shapes():
    batch = collate([encoded(sample(images=0))], image_size=4)
    assert batch.pixels_ICHW.shape == (0, 3, 4, 4)
    assert batch.pixels_ICHW.dtype == torch.uint8
    assert batch.pair_row_N.dtype == batch.pair_image_N.dtype == torch.long
    assert batch.boxes_G4.shape == (0, 4)
    assert batch.rows[0].images == ()


def test_regions_are_in_row_order_and_reading_order_and_point_at_their_images():
    boxes = [Box(0.1, 0.2, 0.3, 0.4), Box(0.5, 0.5, 1.0, 1.0)]
    asked = [ask(("<region:2> or <region:1>?", "no")), ask(("What?", "yes")), ask(("What is <region:1>?", "dog"))]
    two = Sample("b", sample(images=2).images, tuple(asked), (Region(0, boxes[0]), Region(1, boxes[1])))
    rows = PromptWriter(PromptStyle(regions="token"), causal_tokenizers()).rows(two, boxes, range(3), "here")
    pictures = {image: torch.full((3, 4, 4), image, dtype=torch.uint8) for image in (0, 1)}
    large = {image: torch.full((3, 20, 30 + image), image, dtype=torch.uint8) for image in (0, 1)}
    batch = collate([encoded(sample(images=0)), EncodedSample(pictures, rows, large)], image_size=4)
    assert batch.region_row_G.tolist() == [1, 1, 3]
    assert batch.region_image_G.tolist() == [1, 0, 0]
    assert torch.equal(batch.boxes_G4, torch.tensor([boxes[order].corners for order in (1, 0, 0)]))
    assert [picture.shape[2] for picture in batch.region_pictures] == [30, 31]


def test_a_batch_moves_whole_with_the_pictures_of_its_regions():
    encoding = EncodedSample({0: torch.zeros(3, 4, 4, dtype=torch.uint8)}, encoded(sample()).rows, {0: torch.zeros(3, 9, 9)})
    moved = collate([encoding], image_size=4).to("meta")
    tensors = [value for value in vars(moved).values() if isinstance(value, torch.Tensor)]
    assert all(tensor.is_meta for tensor in (*tensors, *moved.region_pictures)) and moved.region_pictures


def test_the_controls_change_the_pictures_of_regions_too():
    pixels, large = {0: torch.zeros(3, 4, 4, dtype=torch.uint8)}, [{0: torch.full((3, 9, 9), shade)} for shade in (0, 1)]
    samples = [
        EncodedSample(pixels, encoded(sample(key)).rows, large[shade], OtherPictures(pixels, large[1 - shade]))
        for shade, key in enumerate("ab")
    ]
    batch = collate(samples, image_size=4)
    shuffled = batch.with_shuffled_images()
    assert [int(picture[0, 0, 0]) for picture in shuffled.region_pictures] == [1, 0]
    (part,) = batch.of_rows(torch.tensor([False, True])).parts(2)
    assert [int(picture[0, 0, 0]) for picture in part.other_region_pictures] == [0] and len(part.other_pixels_ICHW) == 1
    assert batch.without_images().region_pictures == ()


def test_where_one_sample_has_no_other_none_is_shuffled():
    alone = encoded(sample("a"))
    other = replace(encoded(sample("b")), others=OtherPictures(alone.pixels))
    assert collate([alone, other], image_size=4).other_pixels_ICHW is None
    assert collate([other, encoded(sample("c", images=0))], image_size=4).other_pixels_ICHW is not None
