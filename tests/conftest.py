"""Shared fixtures. triscope is imported first: its torchvision guard must run before Lightning or open_clip."""

import os
from pathlib import Path

import pytest
import torch

import triscope  # noqa: F401

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED_DATA = Path(os.environ.get("TRISCOPE_SHARED_DATA", REPOSITORY.parent / "shared" / "data"))
SHARED_PARITY = [Path(folder) for folder in os.environ.get("TRISCOPE_PARITY", str(SHARED_DATA / "parity")).split(os.pathsep)]

torch.set_num_threads(1)  # the suite runs one process a core
os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("WANDB_SILENT", "true")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# Read when gcsfs is imported, by whichever test: the store of the tests speaks HTTP, not gRPC.
os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")


def shared(name: str) -> Path:
    """A folder of the shared test data, or a skip that says what is missing."""
    folder = SHARED_DATA / name
    if not folder.exists():
        pytest.skip(f"{name} is not at {SHARED_DATA}: set TRISCOPE_SHARED_DATA to run this test")
    return folder


def pytest_runtest_setup(item: pytest.Item) -> None:
    """What is marked `gpu` is skipped where there is none."""
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("found no GPU; run this test with `python -m pytest -m gpu` where there is one")
