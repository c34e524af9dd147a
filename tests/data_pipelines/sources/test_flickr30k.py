"""Flickr30k Entities: phrases and boxes by chain; published corners count from 1."""

from pathlib import Path

from data_pipelines.sources.flickr30k import Flickr30kEntities
from tests.conftest import shared
from tests.data_pipelines.sources.published import converted, dropped, photo

XML = """<annotation><size><width>200</width><height>100</height><depth>3</depth></size>{objects}</annotation>"""
BOX = "<bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox>"


def thing(content: str, *chains: int) -> str:
    return f"<object>{''.join(f'<name>{chain}</name>' for chain in chains)}{content}</object>"


def source(folder: Path, sentences: Path | str, *objects: str, number: str = "42") -> Flickr30kEntities:
    photo(folder / f"{number}.jpg")
    (folder / "Annotations").mkdir()
    (folder / "Annotations" / f"{number}.xml").write_text(XML.format(objects="".join(objects)))
    (folder / "test.txt").write_text(f"{number}\n")
    if isinstance(sentences, str):
        (folder / "Sentences").mkdir()
        (folder / "Sentences" / f"{number}.txt").write_text(sentences)
        sentences = folder / "Sentences"
    return Flickr30kEntities(folder / "test.txt", sentences, folder / "Annotations", (folder,))


def test_a_phrase_is_found_and_its_box_is_named_by_all_phrases_of_its_chain(tmp_path: Path) -> None:
    text = "[/EN#7/people A girl] on [/EN#8/scene grass] .\n[/EN#7/people A child] with [/EN#0/notvisual it] .\n"
    (made,) = converted(source(tmp_path, text, thing(BOX.format(1, 1, 51, 81), 7), thing("<scene>1</scene>", 8)))
    assert made.sample is not None
    assert made.sample.regions[0].box.corners == (0, 0, 50, 80)
    asked = [(talk.task, talk.turns[0].answers) for talk in made.sample.conversations]
    assert asked == [("pointing", ("<region:1>",)), ("pointing", ("<region:1>",)), ("description", ("A girl", "A child"))]
    assert dropped(made) == [("phrase_without_box", None), ("phrase_without_box", None)]


def test_a_phrase_of_several_boxes_is_not_asked(tmp_path: Path) -> None:
    boxes = [thing(BOX.format(1, 1, 51, 81), 7), thing(BOX.format(61, 1, 91, 81), 7, 8), thing(BOX.format(5, 5, 5, 9), 9)]
    text = "[/EN#7/people Two girls] , [/EN#8/people one] small , [/EN#9/other hats]\n"
    (made,) = converted(source(tmp_path, text, *boxes))
    assert made.sample is not None
    assert [talk.turns[0].answers for talk in made.sample.conversations] == [("<region:1>",), ("one",)]
    assert dropped(made) == [("box_without_area", "record"), ("phrase_of_several_boxes", None), ("phrase_without_box", None)]


def test_published_sentences_are_read(tmp_path: Path) -> None:
    sentences = shared("format_samples") / "flickr30k" / "sentences"
    box = thing(BOX.format(11, 11, 111, 91), 253072)
    (made,) = converted(source(tmp_path, sentences, box, number="6338542128"))
    assert made.sample is not None
    assert made.sample.conversations[-1].turns[0].answers == ("the football", "the ball")


def test_missing_and_broken_annotations_are_faults(tmp_path: Path) -> None:
    made_up = source(tmp_path, "[/EN#7/people A girl]\n")
    (tmp_path / "Annotations" / "42.xml").write_text("<annotation>")
    assert dropped(converted(made_up)[0]) == [("annotations_broken", "record"), ("nothing_to_ask", None)]
    (tmp_path / "Annotations" / "42.xml").unlink()
    assert dropped(converted(made_up)[0]) == [("annotations_missing", "record"), ("nothing_to_ask", None)]
