"""What a run of `NamingStage` has learned becomes a tagger, which finds in pictures what it was taught."""

from dataclasses import replace
from pathlib import Path

import pytest

from data_pipelines.__main__ import main as pipelines
from tests.data.tiny import ask, sample, write_shards
from tests.tagging.tiny_taggers import built
from tests.tiny_model import fit_arguments, prepare
from triscope.cli import main
from triscope.data.sample import Level
from triscope.data.shards import ShardSet

WHOLE_PICTURE = [0.0, 0.0, 1.0, 1.0]


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """A frozen base, and shards of grey pictures, each of a thing by its name."""
    folder = prepare(tmp_path_factory.mktemp("base"))
    asked = [ask(("What is this?", "the dog")), ask(("What is this?", "dog"), level=Level.REGION)]
    shown = ["dog", "dog", "cat", "cat"]  # darker and lighter pictures
    samples = [
        replace(sample(f"s{number}", asked, tags=[name]), extra={"objects": [{"name": name, "box": WHOLE_PICTURE}]})
        for number, name in enumerate(shown)
    ]
    write_shards(folder / "shards", samples)
    return folder


def test_what_a_run_has_named_becomes_a_tagger_that_finds_it_wherever_its_folder_is_moved(base, tmp_path, capsys):
    steps = ("--trainer.max_steps", "200", "--trainer.val_check_interval", "200", "--trainer.log_every_n_steps", "200")
    naming = ("--model", "triscope.stages.NamingStage", "--model.init_args.learning_rate", "0.02", "--run.wandb", "disabled")
    main(fit_arguments(base, str(base / "shards"), tmp_path / "run", *naming, *steps))
    main(["export", str(tmp_path / "run"), "--to", "tagger", "--out", str(tmp_path / "tagger")])
    assert "2 names, without thresholds yet" in capsys.readouterr().out
    folder = (tmp_path / "tagger").rename(tmp_path / "moved")
    calibrate = ("calibrate", str(base / "shards"), "--tagger", str(folder), "--out", str(folder / "thresholds.txt"))
    assert pipelines([*calibrate, "--workers", "1"]) == 0

    tagger = built(folder)
    assert tagger.vocabulary.names == ("cat", "dog")
    for raw in ShardSet.open(base / "shards"):
        shown, (content,) = raw.parse()
        (tags,) = tagger.tags(tagger.pixels(content, shown.images[0], shown.key)[None])
        assert [tag.name for tag in tags] == [tag.name for tag in shown.images[0].tags]
    assert "licences" in (folder / "README.md").read_text().lower()


def test_a_run_that_has_named_nothing_is_no_tagger(base, tmp_path):
    options = ("--run.wandb", "disabled", "--trainer.max_steps", "1", "--trainer.val_check_interval", "1")
    main(fit_arguments(base, str(base / "shards"), tmp_path / "run", *options))
    with pytest.raises(SystemExit, match=r"found MixtureStage, which trained .*; expected NamingStage"):
        main(["export", str(tmp_path / "run"), "--to", "tagger", "--out", str(tmp_path / "tagger")])
    assert not (tmp_path / "tagger").exists()
