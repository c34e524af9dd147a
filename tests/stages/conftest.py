"""What the tests of stages share: a tiny frozen base, and samples of both levels."""

from pathlib import Path

import pytest

from tests.tiny_model import prepare, write_tiny_shards


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The frozen base of a tiny model."""
    return prepare(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> str:
    """Four samples, each asked about on both levels."""
    return write_tiny_shards(tmp_path_factory.mktemp("data") / "shards")
