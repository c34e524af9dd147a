import pytest

from data_pipelines.__main__ import main as data_pipelines
from triscope.cli import main


def refused(run, arguments: list[str], capsys) -> str:
    """What is said to a command line that a parser refuses."""
    with pytest.raises(SystemExit) as end:
        run(arguments)
    assert end.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("run", "arguments", "near"),
    [
        (main, ["import", "lyon", "LION.pth", "--out", "weights"], "lion"),
        (main, ["export", "runs/mine", "--out", "mine", "--to", "slise"], "slice"),
        (main, ["report", "runs/mine", "--titel", "mine"], "--title"),
        (data_pipelines, ["convrt", "vsr"], "convert"),
        (data_pipelines, ["convert", "refcoco_pluss"], "refcoco_plus"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_misspelt_choice_or_option_is_answered_with_the_one_that_comes_closest(run, arguments, near, capsys):
    said = refused(run, arguments, capsys)
    assert said.startswith("usage: ") and said.endswith(f"; did you mean {near}?\n")


def test_what_is_like_nothing_is_not_guessed_at(capsys):
    said = refused(main, ["import", "x", "LION.pth", "--out", "weights"], capsys)
    assert "invalid choice: 'x' (choose from " in said and "did you mean" not in said
    assert "did you mean" not in refused(main, ["import", "lion"], capsys)
