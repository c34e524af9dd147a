"""FineEval: instructions about regions, or without them, and what ties answers to them."""

import pytest

from data_pipelines.sources.fine_eval import FineEval
from tests.data_pipelines.sources.published import converted, dropped, lines, photo
from triscope.data.errors import TriscopeError
from triscope.data.sample import Level

REGION = "<Region><L100><L200><L300><L400></Region>"
RECORDS = [
    {"image": "7.jpg", "instruction": f"Who is in {REGION}?", "instruction_no_region": "Who is on the left?"},
    {"image": "8.jpg", "instruction": "Why?", "instruction_no_region": "Why is it so?"},
    {"image": "7.jpg", "instruction": f"Compare {REGION} with {REGION}.", "instruction_no_region": "Compare them."},
]


def test_instructions_about_a_picture_stand_together_with_their_regions_and_both_wordings(tmp_path):
    for name in ("7.jpg", "8.jpg"):
        photo(tmp_path / name, (200, 100))
    first, second = converted(FineEval(lines(tmp_path / "instructions.jsonl", RECORDS), (tmp_path,)))
    assert first.sample.key == "fine_eval-7"
    prompts = [conversation.turns[0].prompt for conversation in first.sample.conversations]
    assert prompts == ["Who is in <region:1>?", "Compare <region:2> with <region:3>."]
    assert [region.box.corners for region in first.sample.regions] == [(0.1, 0.2, 0.3, 0.4)] * 3
    published = [{name: record[name] for name in ("instruction", "instruction_no_region")} for record in RECORDS]
    assert first.sample.extra == {"file": "7.jpg", "published": [published[0], published[2]]}
    assert [conversation.level for conversation in second.sample.conversations] == [Level.IMAGE]


def test_the_wording_without_regions_keeps_the_keys(tmp_path):
    for name in ("7.jpg", "8.jpg"):
        photo(tmp_path / name, (200, 100))
    file = lines(tmp_path / "instructions.jsonl", RECORDS)
    first, _ = converted(FineEval(file, (tmp_path,), "instruction_no_region"))
    assert first.sample.key == "fine_eval-7" and not first.sample.regions
    assert first.sample.conversations[1].turns[0].prompt == "Compare them."
    with pytest.raises(TriscopeError, match="instruction or instruction_no_region"):
        converted(FineEval(file, (tmp_path,), "output"))


def test_a_broken_region_costs_its_instruction_alone(tmp_path):
    photo(tmp_path / "7.jpg", (200, 100))
    broken = {"image": "7.jpg", "instruction": "Who is in <Region><L1><L2></Region>?", "instruction_no_region": "Who?"}
    (made,) = converted(FineEval(lines(tmp_path / "instructions.jsonl", [broken, RECORDS[0]]), (tmp_path,)))
    assert dropped(made) == [("region_broken", "record")] and len(made.sample.conversations) == 1
    assert made.sample.extra["published"][0]["instruction"] == RECORDS[0]["instruction"]
