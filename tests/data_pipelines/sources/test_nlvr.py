"""NLVR: the three boxes of a picture are three pictures; NLVR2 has pairs of pictures."""

import io
import json
from pathlib import Path

from PIL import Image as PillowImage

from data_pipelines.convert import convert
from data_pipelines.sources.nlvr import Nlvr
from data_pipelines.sources.nlvr2 import Nlvr2
from tests.conftest import shared
from tests.data_pipelines.sources.published import converted, dropped, lines, photo
from triscope.data.shards import ShardSet


def test_each_item_has_its_three_boxes_and_its_label(tmp_path: Path) -> None:
    folder = shared("nlvr1_dev")
    records = [json.loads(line) for line in (folder / "dev.jsonl").read_text().splitlines()[:30]]
    source = Nlvr(lines(tmp_path / "dev.jsonl", records), (folder / "images",))
    report = convert(source, tmp_path / "out")
    assert (report.samples_written, report.questions_written, dict(report.dropped)) == (30, {"statement": 30}, {})
    for record, raw in zip(records, ShardSet.open(tmp_path / "out"), strict=True):
        sample, contents = raw.parse()
        turn = sample.conversations[0].turns[0]
        assert " ".join(record["sentence"].split()) in turn.prompt
        assert turn.answers == ({"true": "yes", "false": "no"}[record["label"]],)
        assert sample.extra == {"statement": record["identifier"].split("-")[0]}
        assert [(image.width, image.height) for image in sample.images] == [(100, 100)] * 3
        whole = PillowImage.open(folder / "images" / record["image"]).convert("RGB")
        for left, content in zip((0, 150, 300), contents, strict=True):
            assert PillowImage.open(io.BytesIO(content)).tobytes() == whole.crop((left, 0, left + 100, 100)).tobytes()


def test_the_official_layout_names_pictures_by_split_and_folder(tmp_path: Path) -> None:
    photo(tmp_path / "images" / "5" / "train-7-1-0.png", (400, 100))
    photo(tmp_path / "images" / "5" / "train-8-1-0.png", (300, 100))
    records = [{"identifier": f"{number}-1", "sentence": "A box.", "label": "true", "directory": "5"} for number in (7, 8)]
    fitting, too_small = converted(Nlvr(lines(tmp_path / "train.json", records), (tmp_path / "images",)))
    assert fitting.sample is not None and fitting.sample.key == "nlvr-7-1"
    assert dropped(too_small) == [("picture_unreadable", "sample")]


def test_the_published_pairs_are_named_by_their_statements(tmp_path: Path) -> None:
    source = Nlvr2(shared("format_samples") / "nlvr2" / "tiny-dev.json", (tmp_path,))
    keys = [entry.key for entry in source.entries()]
    for side in (0, 1):
        photo(tmp_path / f"dev-850-0-img{side}.png")
    made = converted(source)
    assert keys[:2] == ["nlvr2-dev-850-0-0", "nlvr2-dev-850-2-0"]
    assert made[0].sample is not None
    assert len(made[0].sample.images) == 2
    turn = made[0].sample.conversations[0].turns[0]
    assert (turn.answers, turn.candidates) == (("no",), ("yes", "no"))
    assert made[0].sample.extra == {"statement": "dev-850-0"}
    assert dropped(made[1]) == [("picture_missing", None)]


def test_pairs_of_the_training_split_lie_in_numbered_folders_and_bad_labels_are_counted(tmp_path: Path) -> None:
    for side in (0, 1):
        photo(tmp_path / "83" / f"train-1-2-img{side}.png")
    record = {"identifier": "train-1-2-0", "sentence": "Two dogs.", "label": "True", "directory": 83}
    records = [record, record | {"identifier": "train-1-2-1", "label": "maybe"}]
    good, bad = converted(Nlvr2(lines(tmp_path / "train.json", records), (tmp_path,)))
    assert good.sample is not None and good.sample.extra == {"statement": "train-1-0"}
    assert dropped(bad) == [("bad_label", "record"), ("nothing_to_ask", None)]
