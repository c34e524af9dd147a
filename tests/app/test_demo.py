import json

import pytest

from triscope.app.demo import SHORT, WHOLE, specialists, summarise


@pytest.fixture
def run(tmp_path):
    """What the last stage of a demo leaves behind."""
    result = {
        "metrics": {"region/pointing_acc@0.5": 0.6},
        "controls": {"blind": {"region/pointing_acc@0.5": 0.1}, "shuffled": {"region/pointing_acc@0.5": 0.2}},
        "guesses": {"region/pointing_acc@0.5": {"constant": 0.05, "any_object": 0.36}},
        "learned": {"region/pointing_acc@0.5": True},
    }
    (tmp_path / "results.json").write_text(json.dumps({"scenes": result, "new_objects": {}}))
    (tmp_path / "metrics.csv").write_text("step,speed/images_per_second,train/loss\n0,,2.5\n9,10.0,\n19,20.0,1.5\n")
    return tmp_path


def test_the_summary_has_every_score_with_what_it_must_be_compared_with(run):
    summary = summarise(run, seconds=61.23, effort=SHORT)
    assert summary["metrics"] == {"region/pointing_acc@0.5": 0.6}
    assert summary["controls"].keys() == {"blind", "shuffled"}
    assert summary["guesses"] == {"region/pointing_acc@0.5": 0.36}
    assert summary["seconds"] == 61.2


def test_the_speed_is_the_mean_of_what_was_logged(run):
    assert summarise(run, 1.0, SHORT)["samples_per_second"] == 15.0


def test_stage_three_takes_every_trained_part_of_both_specialists(tmp_path):
    taken = [part for source in specialists(tmp_path) for part in source["parts"]]
    assert sorted(taken) == ["adapter_image", "adapter_region", "aggregator", "qformer", "soft_prompt"]


def test_the_short_demo_is_shorter_in_everything():
    assert SHORT.train_scenes < WHOLE.train_scenes and SHORT.test_scenes < WHOLE.test_scenes
    assert all(short < whole for short, whole in zip(SHORT.steps, WHOLE.steps, strict=True))


def test_a_longer_demo_trains_longer_on_more_and_is_tested_on_the_same():
    longer = SHORT.times(3)
    assert (longer.train_scenes, longer.naming_steps, longer.steps) == (192, 9, (9, 9, 9))
    assert longer.test_scenes == SHORT.test_scenes
