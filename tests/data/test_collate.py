import torch

from tests.data.tiny import ask, causal_tokenizers, sample
from triscope.data.batch import LEVELS
from triscope.data.collate import EncodedSample, collate
from triscope.data.prompts import PromptStyle, PromptWriter
from triscope.data.sample import Level, Sample


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
    assert [row.image for row in batch.rows] == [0, 0, 0, 1]


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
    assert batch.rows[0].image is None
