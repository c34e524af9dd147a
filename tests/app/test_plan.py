"""A plan tells memory and steps of a run, and starts nothing."""

from pathlib import Path

import pytest

from tests.tiny_model import fit_arguments, prepare, write_tiny_shards
from triscope.cli import main


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """Frozen bases, and shards beside them."""
    folder = prepare(tmp_path_factory.mktemp("base"))
    write_tiny_shards(folder / "shards", count=16)
    return folder


def test_a_plan_is_printed_and_nothing_is_started(base, tmp_path, capsys):
    run = tmp_path / "run"
    main([*fit_arguments(base, str(base / "shards"), run), "--plan"])
    told = capsys.readouterr().out
    for part in ("weights of language, frozen", "weights of qformer, trained", "moments of the optimizer", "in all", " GiB"):
        assert part in told
    assert "4 steps of 2 samples on each device" in told and "an epoch has 16 samples: 0.5 epochs" in told
    assert not run.exists()


def test_a_tower_that_would_be_compiled_is_planned_all_the_same(base, tmp_path, capsys):
    told = []
    for compiled in ("false", "true"):
        option = ("--model.init_args.model.init_args.vision.init_args.compiled", compiled)
        main([*fit_arguments(base, str(base / "shards"), tmp_path / "run", *option), "--plan"])
        told.append(capsys.readouterr().out)
    assert told[0] == told[1] and "in all" in told[0]


def test_a_plan_without_the_data_says_so(base, tmp_path, capsys):
    main([*fit_arguments(base, str(tmp_path / "nowhere"), tmp_path / "run"), "--plan"])
    assert "the data is not here" in capsys.readouterr().out
