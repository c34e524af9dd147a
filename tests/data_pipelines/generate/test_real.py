"""What is planned for real pictures, with their names in one set and their captions in another."""

from data_pipelines.convert import convert
from data_pipelines.generate.kinds import KINDS
from data_pipelines.generate.plan import read_plan, write_plan
from data_pipelines.sources.coco import CocoCaptions, CocoInstances
from tests.conftest import shared


def test_coco_s_names_and_captions_are_joined_and_suit_the_kinds_that_need_no_attributes(tmp_path):
    folder = shared("coco_sample")
    images = (folder / "images" / "train2017",)
    convert(CocoInstances(folder / "annotations" / "instances.json", images), tmp_path / "instances")
    convert(CocoCaptions(folder / "annotations" / "captions.json", images), tmp_path / "captions")
    sets = [tmp_path / "instances", tmp_path / "captions"]
    report = write_plan(tmp_path / "plan", sets, list(KINDS.values()), per_picture=7, count=None, seed=0)
    assert set(report.dialogues) == {"small_objects", "several_of_a_kind", "multi_turn", "general"}
    assert report.pictures == 119 and 70 < report.dialogues["general"] <= 80
    for planned in read_plan(tmp_path / "plan"):
        assert planned.focus and max(planned.focus) <= len(planned.boxes) <= 12
        assert all(f"<region:{number}> " in planned.facts for number in range(1, len(planned.boxes) + 1))
        assert "Captions" in planned.facts or planned.kind not in ("general", "multi_turn")
