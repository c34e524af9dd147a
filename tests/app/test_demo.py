import json

import pytest

from tests.data.tiny import ask, jpeg, sample, write_shards
from tests.tagging.tiny_taggers import write_ram
from tests.tiny_model import fit_arguments, prepare, write_tiny_shards
from triscope.app.demo import SHORT, WHOLE, new_picture, specialists, summarise, talk_about
from triscope.cli import main
from triscope.data.boxes import Box, BoxSpace


@pytest.fixture
def run(tmp_path):
    """What the last stage of a demo leaves behind."""
    result = {
        "metrics": {"region/pointing_acc@0.5": 0.6},
        "controls": {"blind": {"region/pointing_acc@0.5": 0.1}, "shuffled": {"region/pointing_acc@0.5": 0.2}},
        "guesses": {"region/pointing_acc@0.5": {"any_object": 0.36, "constant": 0.05}},
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


def test_the_new_picture_comes_alone_and_is_asked_what_names_no_region(tmp_path):
    asked = [ask(("What is <region:1>?", "dog")), *(ask((f"What is {word}?", "dog")) for word in ("one", "two", "one"))]
    write_shards(tmp_path / "data" / "test", [sample(conversations=asked, boxes=[Box(4, 3, 20, 24, BoxSpace.PIXELS)])])
    picture, questions = new_picture(tmp_path)
    assert picture.read_bytes() == jpeg(0)
    assert questions == ["What is one?", "What is two?"]


def test_the_new_picture_is_tagged_and_the_run_s_model_answers(tmp_path):
    base = prepare(tmp_path)
    options = ("--run.wandb", "disabled", "--trainer.max_steps", "1", "--trainer.val_check_interval", "1")
    main(fit_arguments(base, write_tiny_shards(base / "shards"), tmp_path / "run", *options))
    (tmp_path / "picture.jpg").write_bytes(jpeg())
    tagger = write_ram(tmp_path, thresholds=(0.0, 1.0, 1.0, 1.0, 1.0))
    talk = talk_about((tmp_path / "picture.jpg", ["What is this?", "Where is the dog?"]), tmp_path / "run", tagger)
    told, *lines = talk.splitlines()
    assert "picture.jpg: 40x30, tags dog 0." in told
    assert [line for line in lines if line.startswith(">")] == ["> What is this?", "> Where is the dog?"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--times", "0"), "--times: found 0; expected 1 or more"),
        (("--model", "conf/model/lion_mini.yaml"), r"--model conf/model/lion_mini\.yaml: found no such file"),
        (("--tagger", "nowhere.yaml"), r"--tagger nowhere\.yaml: found no such file"),
    ],
    ids=["times", "model", "tagger"],
)
def test_what_would_end_the_demo_later_is_told_before_anything_is_written(tmp_path, options, told):
    with pytest.raises(SystemExit, match=told):
        main(["demo", "--short", "--run_folder", str(tmp_path / "demo"), *options])
    assert not (tmp_path / "demo").exists()


def test_a_folder_with_files_is_left_as_it_is(tmp_path):
    (tmp_path / "mine.txt").touch()
    with pytest.raises(SystemExit, match=r"--run_folder .*: found files; expected a new or empty folder"):
        main(["demo", "--short", "--run_folder", str(tmp_path)])
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]
