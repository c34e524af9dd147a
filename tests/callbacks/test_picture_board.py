import pytest
from PIL import Image, ImageColor

from tests.data.tiny import ask, causal_tokenizers, jpeg, sample
from triscope.callbacks.picture_board import choose_rows, draw_prediction, pictures_of_rows
from triscope.data.batch import Row
from triscope.data.boxes import Box
from triscope.data.collate import EncodedSample, collate
from triscope.data.prompts import Placement, PromptStyle, PromptWriter
from triscope.data.sample import Level, Region, Sample
from triscope.data.transforms import PictureTransform
from triscope.drawing import PREDICTED_COLOR, REGION_COLOR, TRUE_COLOR
from triscope.evaluation.predictions import Prediction

RED, GREEN, BLUE, BLACK = (ImageColor.getrgb(color) for color in (PREDICTED_COLOR, TRUE_COLOR, REGION_COLOR, "black"))


def predicted(task: str = "pointing", key: str = "a:0", box: Box | None = None, true: Box | None = None, regions: tuple = ()):
    return Prediction(Row(key, task, Level.REGION, "Where?", ("there",), box=true, regions=regions), "here", box)


def colour_at(picture: Image.Image, x: float, y: float) -> tuple:
    """At a share of the shown picture, which is 224 pixels wide and high."""
    return picture.getpixel((min(int(224 * x), 223), min(int(224 * y), 223)))


def test_predicted_boxes_are_red_true_ones_green_and_asked_ones_blue_at_their_places():
    boxes = {"box": Box(0.1, 0.2, 0.3, 0.4), "true": Box(0.5, 0.5, 1.0, 1.0), "region": Box(0.0, 0.6, 0.25, 0.9)}
    prediction = predicted(box=boxes["box"], true=boxes["true"], regions=(boxes["region"],))
    cell = draw_prediction({0: Image.new("RGB", (60, 40), "black")}, prediction)
    for name, colour in (("box", RED), ("true", GREEN), ("region", BLUE)):
        box = boxes[name]
        middle_x, middle_y = (box.x1 + box.x2) / 2, (box.y1 + box.y2) / 2
        edges = [(box.x1, middle_y), (box.x2, middle_y), (middle_x, box.y1), (middle_x, box.y2)]
        assert [colour_at(cell, x, y) for x, y in edges] == [colour] * 4, name
        assert colour_at(cell, middle_x, middle_y) == BLACK
        outside = box.x1 - 0.05 if box.x1 else box.x2 + 0.05
        assert colour_at(cell, outside, middle_y) == BLACK


def test_an_answer_without_a_box_is_shown_with_its_text_alone():
    cell = draw_prediction({0: Image.new("RGB", (224, 224), "black")}, predicted())
    assert cell.crop((0, 0, 224, 224)).getcolors() == [(224 * 224, BLACK)]
    below = cell.crop((0, 224, *cell.size)).convert("L")
    assert min(below.getdata()) < 100 and max(below.getdata()) == 255


def test_every_task_is_shown_in_turn():
    rows = [predicted(task=task, key=f"{task}{number}:0") for task in ("count", "color") for number in range(3)]
    assert [item.row.key for item in choose_rows(rows, 3)] == ["count0:0", "color0:0", "count1:0"]
    assert len(choose_rows(rows, 99)) == 6


def test_of_several_pictures_each_has_its_own_boxes():
    left, right = Box(0.25, 0.25, 0.75, 0.75), Box(0.0, 0.0, 0.5, 0.5)
    row = Row(
        *("a:0", "pointing_shared", Level.REGION, "Where in the second?", ("there",)),
        **{"box": left, "box_image": 1, "images": (0, 1), "regions": (right,), "region_images": (0,)},
    )
    pictures = {1: Image.new("RGB", (112, 112), "black"), 0: Image.new("RGB", (112, 112), "black")}
    cell = draw_prediction(pictures, Prediction(row, "there", Box(0.5, 0.5, 1.0, 1.0)))
    first, second = (cell.crop((112 * place, 0, 112 * place + 112, 112)) for place in (0, 1))
    assert {color for _, color in first.getcolors()} == {BLACK, BLUE}
    assert {color for _, color in second.getcolors()} == {BLACK, GREEN, RED}
    assert second.getpixel((28, 56)) == GREEN and second.getpixel((110, 56)) == RED


@pytest.mark.parametrize("placement", ["inline", "prefix"])
def test_the_pictures_of_a_row_are_known_by_their_number_in_the_sample(placement: Placement):
    asked = [ask(("Where is the dog in <image:3> and not <image:2>?", "<region:1>"), level=Level.REGION), ask(("What?", "dog"))]
    three = Sample("a", sample(images=3).images, tuple(asked), (Region(2, Box(0.1, 0.1, 0.5, 0.5)),))
    rows = PromptWriter(PromptStyle(placement=placement), causal_tokenizers()).rows(three, [three.regions[0].box], (0, 1), "here")
    transform = PictureTransform(size=28)
    pixels = {number: transform.pixels(jpeg(50 * number), image, False, "here") for number, image in enumerate(three.images)}
    batch = collate([EncodedSample(pixels, rows)], 28)
    shown = pictures_of_rows(batch)
    shades = {key: {number: round(drawn.getpixel((9, 9))[0], -1) for number, drawn in of.items()} for key, of in shown.items()}
    assert shades == {"a:0": {1: 50, 2: 100}, "a:1": {0: 0, 1: 50, 2: 100}}
    assert batch.rows[0].box_image == 2


def test_a_run_draws_the_same_rows_after_each_validation(run_folder):
    first, second = (Image.open(file) for file in sorted((run_folder / "pictures" / "board").glob("*.png")))
    assert first.size == second.size
    greens = [picture.convert("RGB").getcolors(10**6) for picture in (first, second)]
    counts = [next(count for count, color in colors if color == GREEN) for colors in greens]
    assert counts[0] == counts[1] > 0
