import sys

import pytest

from benchmarks.import_memory import peak_bytes, reset_peak, write_shards
from triscope.checkpoints.import_weights import import_weights

SHARE_OF_THE_LARGEST_SHARD = 1.3


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_an_import_holds_less_than_its_largest_shard(tmp_path):
    largest = write_shards(tmp_path / "generated", gigabytes=0.4, shards=2)
    before = reset_peak()
    import_weights("instructblip", tmp_path / "generated", tmp_path / "imported")
    assert peak_bytes() - before < SHARE_OF_THE_LARGEST_SHARD * largest
