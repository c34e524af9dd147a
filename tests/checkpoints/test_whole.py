import pytest
import torch

from triscope.checkpoints.whole import WholeCheckpoints, check_readable
from triscope.data.errors import ConfigurationError


class Unwritable:
    """Fails in the middle of being written."""

    def __reduce__(self):
        raise RuntimeError("killed")


def test_an_interrupted_write_leaves_the_checkpoint_before_it_whole(tmp_path):
    path = tmp_path / "checkpoints" / "last.ckpt"
    WholeCheckpoints().save_checkpoint({"step": 1, "weights": torch.ones(1000)}, path)
    with pytest.raises(RuntimeError, match="killed"):
        WholeCheckpoints().save_checkpoint({"step": 2, "weights": torch.zeros(1000), "bad": Unwritable()}, path)
    kept = WholeCheckpoints().load_checkpoint(path, weights_only=True)
    assert kept["step"] == 1 and torch.equal(kept["weights"], torch.ones(1000))


def test_what_an_interruption_left_behind_is_replaced_by_the_next_write(tmp_path):
    path = tmp_path / "last.ckpt"
    (tmp_path / ".last.ckpt.unfinished").write_bytes(b"half")
    WholeCheckpoints().save_checkpoint({"step": 3}, path)
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]
    assert WholeCheckpoints().load_checkpoint(path, weights_only=True) == {"step": 3}


def test_a_checkpoint_that_is_missing_or_cut_off_is_told_at_a_glance(tmp_path):
    path = tmp_path / "last.ckpt"
    with pytest.raises(ConfigurationError, match=r"last\.ckpt: found no such file"):
        check_readable(path)
    WholeCheckpoints().save_checkpoint({"weights": torch.ones(1000)}, path)
    check_readable(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ConfigurationError, match=r"last\.ckpt: found 2,000 bytes that are no whole checkpoint"):
        check_readable(path)
