"""The profile tells parts, operators and the limit of every stage."""

import re

from benchmarks.step_profile import PRODUCT_WIDTH, main


def test_the_profile_tells_parts_operators_and_the_limit(capsys, monkeypatch):
    monkeypatch.setitem(PRODUCT_WIDTH, "cpu", 64)
    main(["--sizes", "tiny", "--rows", "6", "--stages", "2", "--rounds", "3"])
    printed = capsys.readouterr().out
    assert "| stage 2: operator | share of the step |" in printed and "`aten::mm`" in printed
    parts = printed.partition("| stage 2: operator")[0]
    shares = [float(share) for share in re.findall(r"\| ([\d.]+)% \|", parts)]
    assert len(shares) == 5 and abs(sum(shares) - 100) < 1 and min(shares) > 0
    assert "of a product of 64 x 64 here" in printed
