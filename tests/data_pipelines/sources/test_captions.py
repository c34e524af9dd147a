"""The layouts of the captioning benchmarks become captions with all their references."""

from pathlib import Path

import pytest

from data_pipelines.convert import convert
from data_pipelines.sources.captions import CocoKarpathy, Flickr30kCaptions, NoCaps, TextCaps
from tests.conftest import shared
from tests.data_pipelines.sources.published import converted, dropped, photo, written
from triscope.data.shards import ShardSet


def karpathy(split: str, file: str, texts: tuple[str, ...] = ("A dog .", "A brown dog ."), **fields: object) -> dict:
    sentences = [{"raw": text, "tokens": text.split(), "imgid": 0, "sentid": number} for number, text in enumerate(texts)]
    return {"filename": file, "split": split, "imgid": 0, "sentids": [0, 1], "sentences": sentences, **fields}


def test_karpathys_split_of_flickr30k_is_one_question_a_picture(tmp_path: Path) -> None:
    photo(tmp_path / "1000092795.jpg")
    images = [karpathy("train", "1.jpg"), karpathy("test", "1000092795.jpg")]
    source = Flickr30kCaptions(written(tmp_path / "d.json", {"dataset": "flickr30k", "images": images}), (tmp_path,))
    (made,) = converted(source)
    assert made.sample is not None and made.sample.key == "flickr30k_captions-1000092795"
    ((turn,),) = [talk.turns for talk in made.sample.conversations]
    assert (turn.answers, turn.content, turn.id) == (("A dog .", "A brown dog ."), "", "1000092795")


def test_karpathys_split_of_coco_has_folders_and_coco_s_numbers(tmp_path: Path) -> None:
    file = "COCO_val2014_000000391895.jpg"
    photo(tmp_path / "val2014" / file)
    image = karpathy("test", file, filepath="val2014", cocoid=391895)
    (made,) = converted(CocoKarpathy(written(tmp_path / "d.json", {"images": [image]}), (tmp_path,)))
    assert made.sample is not None and made.sample.conversations[0].turns[0].id == "391895"


def test_nocaps_has_the_layout_of_coco(tmp_path: Path) -> None:
    photo(tmp_path / "0013ea2087020901.jpg")
    images = [{"id": 0, "file_name": "0013ea2087020901.jpg", "domain": "in-domain", "open_images_id": "0013ea2087020901"}]
    annotations = [{"image_id": 0, "id": number, "caption": f"A baby number {number}."} for number in range(10)]
    (made,) = converted(NoCaps(written(tmp_path / "n.json", {"images": images, "annotations": annotations}), (tmp_path,)))
    assert made.sample is not None and len(made.sample.conversations[0].turns[0].answers) == 10
    assert made.sample.conversations[0].turns[0].id == "0"


def test_textcaps_as_published_gives_every_picture_its_references(tmp_path: Path) -> None:
    annotations = shared("format_samples") / "official" / "textcaps_TextCaps_0.1_val.json"
    entries = list(TextCaps(annotations, (tmp_path,)).entries())
    assert sum(len(entry.records) for entry in entries) == len(entries) == 30
    for entry in entries:
        photo(tmp_path / f"{entry.records[0]['image_id']}.jpg")
    report = convert(TextCaps(annotations, (tmp_path,)), tmp_path / "out")
    samples = [raw.parse()[0] for raw in ShardSet.open(tmp_path / "out")]
    assert report.samples_written == len(samples) == len(entries)
    assert {len(sample.conversations[0].turns[0].answers) for sample in samples} == {5}
    assert all(sample.conversations[0].turns[0].id == sample.key.partition("-")[2] for sample in samples)


@pytest.mark.parametrize(("texts", "reasons"), [(("A dog .", " "), ["empty_answer"]), ((), ["nothing_to_ask"])])
def test_a_caption_without_text_is_counted(tmp_path: Path, texts: tuple[str, ...], reasons: list[str]) -> None:
    photo(tmp_path / "1.jpg")
    source = Flickr30kCaptions(written(tmp_path / "d.json", {"images": [karpathy("test", "1.jpg", texts)]}), (tmp_path,))
    assert [reason for made in converted(source) for reason, _ in dropped(made)] == reasons
