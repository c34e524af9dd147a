"""Tables of one's own: a CSV with one question a row, and a folder of pictures."""

from pathlib import Path

import pytest

from data_pipelines.__main__ import main
from data_pipelines.sources.question_table import QuestionTable
from tests.conftest import REPOSITORY
from tests.data_pipelines.sources.published import converted, dropped, photo, turns
from tests.documents import blocks
from triscope.data.boxes import BoxSpace
from triscope.data.errors import TriscopeError
from triscope.data.sample import Level
from triscope.data.shards import ShardSet

HEADER = "picture,question,answer,boxes,level,task,tags\n"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in ("garden.jpg", "street.jpg"):
        photo(tmp_path / name, (200, 100))
    return tmp_path


def table(photos: Path, text: str, **options: str) -> QuestionTable:
    (photos / "mine.csv").write_text(text)
    return QuestionTable(photos / "mine.csv", (photos,), **options)


def test_rows_about_a_picture_become_one_sample_and_their_boxes_its_regions(photos):
    text = (
        HEADER + 'garden.jpg,Where is the dog?,<region:1>,"20,10,60,50",,,dog; lawn\n'
        "street.jpg,How many cars are there?,two,,,count,\n"
        'garden.jpg,Is <region:1> left of <region:2>?,"yes, it is","20,10,60,50; 100,0,200,100",,,cat;dog\n'
    )
    garden, street = converted(table(photos, text))
    assert turns(garden) == [("Where is the dog?", "<region:1>"), ("Is <region:2> left of <region:3>?", "yes, it is")]
    boxes = [(20, 10, 60, 50), (20, 10, 60, 50), (100, 0, 200, 100)]
    assert [region.box.corners for region in garden.sample.regions] == boxes
    assert [(talk.task, talk.level) for talk in garden.sample.conversations] == [
        ("pointing", Level.REGION),
        ("question", Level.REGION),
    ]
    assert [tag.name for tag in garden.sample.images[0].tags] == ["dog", "lawn", "cat"]
    assert [(talk.task, talk.level) for talk in street.sample.conversations] == [("count", Level.IMAGE)]
    assert street.sample.images[0].tags == ()


def test_rows_that_ask_the_same_give_the_references_of_one_question(photos):
    text = "picture,question,answer\ngarden.jpg,What is it?,a dog\ngarden.jpg,Why?,so\ngarden.jpg,What is it? ,a hound\n"
    (made,) = converted(table(photos, text))
    assert [talk.turns[0].answers for talk in made.sample.conversations] == [("a dog", "a hound"), ("so",)]


def test_the_table_of_the_documents_is_one(photos):
    (example,) = blocks((REPOSITORY / "docs/your_table.md").read_text(), "csv")
    photo(photos / "garden.jpg", (640, 480))
    (made,) = converted(table(photos, example))
    assert not made.drops and [talk.task for talk in made.sample.conversations] == ["question", "pointing", "question"]


@pytest.mark.parametrize(("unit", "cell"), [("shares", "0.1,0.1,0.3,0.5"), ("thousandths", "100,100,300,500")])
def test_boxes_may_be_counted_in_shares_or_thousandths(photos, unit, cell):
    (made,) = converted(table(photos, f'{HEADER}garden.jpg,Where?,<region:1>,"{cell}",,,\n', boxes_are=unit))
    box = made.sample.regions[0].box
    assert box.space is BoxSpace.PIXELS and box.corners == pytest.approx((20, 10, 60, 50))


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("garden.jpg,,dog,,,,", "line 3: question: found nothing"),
        ("garden.jpg,What?,,,,,", "line 3: answer: found nothing"),
        ("garden.jpg,What is <region:1>?,dog,,,,", "question: found <region:1>; expected one of the row's 0 boxes"),
        ('garden.jpg,Where?,<region:2>,"1,2,3,4",,,', "answer: found <region:2>; expected one of the row's 1 boxes"),
        ('garden.jpg,Where?,<region:1>,"1,2,3",,,', "boxes: found '1,2,3'; expected four numbers"),
        ('garden.jpg,Where?,<region:1>,"9,2,3,4",,,', "expected x1 < x2"),
        ('garden.jpg,Where?,<region:1>,"1,2,300,4",,,', "expected a box inside the picture"),
        ("garden.jpg,What?,dog,,picture,,", "level: found 'picture'; expected image or region"),
    ],
)
def test_a_row_that_cannot_be_used_is_named_with_line_and_cell_and_costs_itself_alone(photos, row, told):
    (made,) = converted(table(photos, f"{HEADER}garden.jpg,What is it?,a dog,,,,\n{row}\n"))
    assert turns(made) == [("What is it?", "a dog")] and made.sample.regions == ()
    assert dropped(made) == [("row_unusable", "record")]
    assert told in made.drops[0].example


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("picture,question\n", "line 1: found columns picture, question; expected picture, question, answer and, if wanted"),
        ("picture,question,answer,boxs\n", "found columns picture, question, answer, boxs"),
        ("picture,question,answer\na.jpg,What?,a, b\n", "line 2: found .* expected 3 cells. Quote cells that hold commas"),
        ('picture,question,answer\na.jpg,"What?,a\n', "unexpected end of data"),
    ],
)
def test_another_layout_is_refused_as_a_whole(photos, text, told):
    with pytest.raises(TriscopeError, match=told):
        converted(table(photos, text))
    with pytest.raises(TriscopeError, match=r"no\.csv: found no file"):
        list(QuestionTable(photos / "no.csv", (photos,)).entries())
    with pytest.raises(TriscopeError, match="--boxes_are: found 'inches'; expected pixels or shares or thousandths"):
        converted(table(photos, HEADER, boxes_are="inches"))


def test_a_table_with_tabs_and_a_byte_order_mark_is_read_by_the_command(photos, capsys):
    (photos / "mine.tsv").write_text("\ufeffpicture\tquestion\tanswer\ngarden.jpg\tWhat, then?\ta dog\n", encoding="utf-8")
    arguments = ["--table", str(photos / "mine.tsv"), "--images", str(photos), "--out", str(photos / "out"), "--workers", "1"]
    assert main(["convert", "table", *arguments]) == 0
    (sample,) = [raw.parse()[0] for raw in ShardSet.open(photos / "out")]
    assert sample.conversations[0].turns[0].prompt == "What, then?"
