import pytest
from PIL import Image, ImageColor

from tests.data.tiny import ask, causal_tokenizers, jpeg, sample
from triscope.callbacks.picture_board import PictureBoard, caption, choose_rows, draw_prediction, pictures_of_rows
from triscope.data.batch import Batch, Row
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


def test_a_picture_is_shown_again_only_when_every_other_of_the_task_was():
    rows = [predicted(task=task, key=f"{sample}:{number}") for sample in "abc" for number, task in enumerate(("count", "color"))]
    rows.append(predicted(task="color", key="d:0"))
    assert [item.row.key for item in choose_rows(rows, 5)] == ["a:0", "b:1", "c:0", "d:0", "b:0"]
    assert choose_rows(rows, 5) == choose_rows(rows, 5)


@pytest.mark.parametrize("words", [1, 30, 300])
def test_a_cell_is_as_high_as_what_is_written_takes(words):
    prediction = Prediction(Row("a:0", "vqa", Level.IMAGE, "why " * words, ("because " * words,)), "so " * words)
    cell = draw_prediction({0: Image.new("RGB", (224, 224), "black")}, prediction).convert("L")
    ink = [min(cell.crop((0, height, cell.width, height + 1)).getdata()) < 200 for height in range(224, cell.height)]
    assert not any(ink[:4]) and not any(ink[-4:]) and any(ink[-12:-4])
    lines = caption(prediction).splitlines()
    assert len(lines) == {1: 3, 30: 11, 300: 12}[words] and (words < 300 or lines[3].endswith("…"))


def test_pictures_are_kept_of_many_samples_though_each_has_many_rows():
    def batch(sample_key: str) -> Batch:
        asked = sample(sample_key, [ask(("What?", "dog")) for _ in range(20)])
        rows = PromptWriter(PromptStyle(), causal_tokenizers()).rows(asked, [], range(20), "here")
        pixels = {0: PictureTransform(size=28).pixels(jpeg(), asked.images[0], False, "here")}
        return collate([EncodedSample(pixels, rows)], 28)

    board = PictureBoard(rows=2)
    for number in range(9):
        board.on_validation_batch_end(None, None, None, batch(f"s{number}"), number)  # type: ignore[arg-type]
    assert {key.partition(":")[0] for key in board._pictures} == {f"s{number}" for number in range(8)}
    assert len({id(of[0]) for of in board._pictures.values()}) == 8  # drawn once, however many rows ask about it


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
