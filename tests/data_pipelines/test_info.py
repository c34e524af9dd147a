"""Info counts what is in the shards."""

from pathlib import Path

from data_pipelines.info import info
from tests.data_pipelines.made_up import write_made_up


def test_counts_sizes_and_commonest_answers_are_told(tmp_path: Path) -> None:
    write_made_up(tmp_path)
    lines = [" ".join(line.split()) for line in info(tmp_path).splitlines()]
    assert lines[0].startswith(f"{tmp_path}: 2 shards, ")
    assert "samples 3" in lines
    assert "levels image 3, region 3" in lines
    assert "sources made up 3" in lines
    assert "width 64 to 64, median 64" in lines
    assert "pointing 3 a box 3" in lines
    assert "regions 2 to 2, median 2 a sample" in lines
    assert "caption 3 a <dog> & a cat 3" in lines
