"""The Java tools give what pycocoevalcap and the published figures say; without them the result says so."""

import json

import pytest

from tests.conftest import shared
from triscope.data.batch import Row
from triscope.data.sample import Level
from triscope.evaluation import coco_tools
from triscope.evaluation.coco_tools import NO_TOOLS, coco_scores, java_folder
from triscope.evaluation.predictions import Prediction


def captions(source: str = "coco_karpathy") -> tuple[list[Prediction], dict]:
    folder = shared("metric_fixtures") / "nlg_eval"
    said, *references = ((folder / name).read_text().splitlines() for name in ("hyp.txt", "ref1.txt", "ref2.txt"))
    expected = json.loads((folder / "expected.json").read_text())
    items = zip(said, zip(*references, strict=False), strict=False)
    return [
        Prediction(Row(f"{number}:0", "caption", Level.IMAGE, "Describe.", known, source=source), text)
        for number, (text, known) in enumerate(items)
    ], expected


@pytest.mark.skipif(java_folder() is None, reason="java or pycocoevalcap is not installed: the Java tools are not run")
def test_the_scores_are_the_published_ones():
    predictions, expected = captions()
    found = coco_scores(predictions)
    values = {name.removeprefix("image/caption_"): score["value"] for name, score in found["scores"].items()}
    assert values["meteor"] == pytest.approx(expected["METEOR"], abs=1e-6)
    assert values["cider"] == pytest.approx(100 * expected["CIDEr"], abs=1e-4)
    assert values["bleu4"] == pytest.approx(expected["Bleu_4"], abs=1e-6)
    assert values["rouge_l"] == pytest.approx(expected["ROUGE_L"], abs=1e-6)
    assert "METEOR" not in found["tools"] and found["tools"]["meteor"].startswith("1.5")
    meteor = found["scores"]["image/caption_meteor"]
    assert meteor["low"] < meteor["value"] < meteor["high"] and meteor["items"] == len(predictions)


def test_without_java_the_result_says_so(monkeypatch):
    monkeypatch.setattr(coco_tools.shutil, "which", lambda name: None)
    assert coco_scores(captions()[0]) == {"tools": NO_TOOLS}


def test_other_captions_are_left_alone():
    assert coco_scores(captions("scenes")[0]) == {}
