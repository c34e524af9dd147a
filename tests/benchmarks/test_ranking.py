"""Both ways of scoring are compared before they are timed, and the JSON has what is read from it."""

import json

from benchmarks.ranking import main


def test_json_has_the_ratio_of_each_kind_of_language_model(capsys):
    main(["--json", "--sizes", "tiny", "--candidates", "12", "--prompt", "20", "--rounds", "1"])
    printed = json.loads(capsys.readouterr().out)
    assert printed["goal"] == 5 and printed["ratios"].keys() == {"t5", "llama"}
    for kind, figure in printed["figures"].items():
        assert figure["candidates"] == 12 and printed["ratios"][kind] == figure["speed_ratio"]["median"] > 0
    assert printed["machine"]["commit"]


def test_the_table_has_a_line_for_each_kind(capsys):
    main(["--sizes", "tiny", "--candidates", "3", "--prompt", "9", "--rounds", "1"])
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()[2:4]] == ["t5", "llama"]
