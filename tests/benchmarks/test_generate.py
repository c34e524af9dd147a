"""Both ways of writing write the same, and the JSON has what is read from it."""

import json

import pytest

from benchmarks.generate import check_same, main


def test_json_has_the_ratio_and_each_figure(capsys):
    main(["--json", "--sizes", "tiny", "--rows", "6", "--tokens", "4", "--rounds", "1"])
    printed = json.loads(capsys.readouterr().out)
    assert set(printed["ratios"]) == {"generate"} and printed["ratios"]["generate"] > 0
    assert [figure["kind"] for figure in printed["figures"]] == ["one_question", "six_questions"]
    assert all(figure["tokens_per_second"]["ours"]["median"] > 0 for figure in printed["figures"])


def test_different_texts_are_not_compared():
    check_same([[5, 6]], [[5, 6, 0, 7]])
    with pytest.raises(ValueError, match="row 0: found"):
        check_same([[5, 6]], [[5, 7]])
