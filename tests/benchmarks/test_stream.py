"""Every way of reading reads all samples, and the JSON has what is read from it."""

import json

from benchmarks.stream import main


def test_json_has_both_ratios_and_each_figure(capsys):
    main(["--json", "--samples", "16", "--width", "64", "--workers", "1", "--rounds", "1"])
    printed = json.loads(capsys.readouterr().out)
    assert set(printed["ratios"]) == {"bare_decode", "webdataset_pil"} and min(printed["ratios"].values()) > 0
    assert set(printed["figures"]["samples_per_second"]) == {"ours", "bare_decode", "webdataset_pil"}


def test_growth_has_a_row_for_each_number_of_shards_and_workers(capsys, monkeypatch):
    monkeypatch.setattr("benchmarks.stream.GROWTH_WORKERS", (1,))
    main(["--growth", "--shards", "2", "--samples", "4"])
    assert "| 2 | 1 | " in capsys.readouterr().out
