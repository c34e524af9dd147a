"""Every way of reading reads all samples, and the JSON has what is read from it."""

import json

import torch
from torch.testing import assert_close

from benchmarks.stream import DEVIATION, MEAN, main, our_loader, write
from triscope.components.pixels import normalised


def test_json_has_both_ratios_and_each_figure(capsys):
    main(["--json", "--samples", "16", "--width", "64", "--workers", "1", "--rounds", "1"])
    printed = json.loads(capsys.readouterr().out)
    assert set(printed["ratios"]) == {"bare_decode", "webdataset_pil"} and min(printed["ratios"].values()) > 0
    assert set(printed["figures"]["samples_per_second"]) == {"ours", "bare_decode", "webdataset_pil"}


def test_growth_has_a_row_for_each_number_of_shards_and_workers(capsys, monkeypatch):
    monkeypatch.setattr("benchmarks.stream.GROWTH_WORKERS", (1,))
    main(["--growth", "--shards", "2", "--samples", "4"])
    assert "| 2 | 1 | " in capsys.readouterr().out


def test_each_lever_of_reading_is_told(capsys):
    main(["--levers", "--samples", "16", "--width", "64", "--workers", "1", "--rounds", "1"])
    printed = capsys.readouterr().out
    assert "(`data.draft`) | " in printed and "| pictures leave the workers as bytes (`data.pixels_as_bytes`) | " in printed


def test_normalised_pictures_are_those_that_the_tower_makes_of_the_bytes(tmp_path):
    write(tmp_path, samples=4, width=64, samples_per_shard=2)
    (usual,), (floats,) = our_loader(tmp_path, 0, 4), our_loader(tmp_path, 0, 4, pixels_as_bytes=False)
    assert_close(floats.pixels_ICHW, normalised(usual.pixels_ICHW, MEAN, DEVIATION, torch.float32))
    assert torch.equal(floats.ids_BT, usual.ids_BT)
