"""A real Ray on this machine, started once for the tests of a file."""

import subprocess
import sys

import pytest

RAY_RUNS_WITHIN = 180  # seconds, from nothing to the result of a task
TRY_RAY = "import ray; ray.init(num_cpus=1, include_dashboard=False); ray.get(ray.remote(num_cpus=1)(lambda: 0).remote())"


@pytest.fixture(scope="module")
def local_ray():
    """Ray, where it can run at all: some machines leave its tasks waiting for ever, without a word."""
    ray = pytest.importorskip("ray", reason="ray is not installed: pip install triscope[ray]")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_worker_niceness", "0")  # Ray's own is 15: beside other tests, an import takes minutes
        try:
            subprocess.run([sys.executable, "-c", TRY_RAY], capture_output=True, check=True, timeout=RAY_RUNS_WITHIN)
        except subprocess.TimeoutExpired:
            pytest.skip(f"Ray ran no task of its own within {RAY_RUNS_WITHIN} s on this machine")
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
        yield ray
        ray.shutdown()
