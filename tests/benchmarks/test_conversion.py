"""The benchmark of conversions converts all that it generates, and prints what it measured."""

import sys

import pytest

from benchmarks.conversion import main


def test_every_generated_record_is_converted(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["conversion", "--records", "150", "--workers", "1"])
    main()
    assert "| 150 | 3 | 0 |" in capsys.readouterr().out
