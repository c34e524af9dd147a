"""One short run of the command line, with everything that is watched, for all tests of this folder to look at."""

from pathlib import Path

import pytest

from tests.data.tiny import ask, jpeg, sample
from tests.tiny_model import fit_arguments, prepare, write_tiny_shards
from triscope.cli import main
from triscope.data.shard_writer import ShardWriter


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory) -> Path:
    """Folder of a run of 4 steps, validated after the second and the fourth; one of its pictures is broken."""
    base = prepare(tmp_path_factory.mktemp("base"))
    shards = write_tiny_shards(base / "shards")
    with ShardWriter(base / "broken") as writer:
        writer.write(sample("broken", [ask(("What is this?", "dog"))]), [jpeg()[:60]])
        writer.write(sample("whole", [ask(("What is this?", "dog"))]), [jpeg()])
    sets = f'{{"{shards}": 0.5, "{base / "broken"}": 0.5}}'
    main(fit_arguments(base, shards, base / "run", "--data.train", sets, "--run.wandb", "offline"))
    return base / "run"
