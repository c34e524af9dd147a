import os
import subprocess
import sys

import pytest
import torch

from triscope import torchvision_guard

# The guard alone, without `import triscope`, which would have called it already.
LOAD_GUARD = f"""
import importlib.util, sys
specification = importlib.util.spec_from_file_location("guard", {torchvision_guard.__file__!r})
guard = importlib.util.module_from_spec(specification)
specification.loader.exec_module(guard)
"""


def run(code: str, folder=None) -> subprocess.CompletedProcess:
    """Runs code in a fresh process, nothing compiled; `folder` comes first on its import path."""
    path = f"import sys; sys.path.insert(0, {str(folder)!r})\n" if folder else ""
    return subprocess.run(
        [sys.executable, "-c", path + LOAD_GUARD + code],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"TORCHDYNAMO_DISABLE": "1"},
    )


def stand_in(tmp_path, code: str):
    """A package called torchvision whose import runs `code`."""
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text(code)
    return tmp_path


def test_a_torchvision_that_imports_is_left_alone(tmp_path):
    folder = stand_in(tmp_path, "")
    found = run("print(guard.ensure_torchvision_imports(), guard._declared_library)", folder)
    assert found.stdout.split() == ["False", "None"], found.stderr


def test_without_torchvision_nothing_happens():
    found = run(
        "sys.modules['torchvision'] = None; importlib.util.find_spec = lambda name: None\n"
        "print(guard.ensure_torchvision_imports(), guard._declared_library)"
    )
    assert found.stdout.split() == ["False", "None"], found.stderr


def test_any_other_failure_of_torchvision_is_passed_on(tmp_path):
    folder = stand_in(tmp_path, "raise RuntimeError('something else is broken')")
    found = run(
        "try: guard.ensure_torchvision_imports()\n"  # declares nothing on the way
        "except RuntimeError as error: print(error, guard._declared_library, sep=', ')",
        folder,
    )
    assert found.stdout.strip() == "something else is broken, None", found.stderr


def test_the_missing_operators_are_declared_and_the_import_is_repeated(tmp_path):
    folder = stand_in(
        tmp_path,
        "import torch\n"
        "try: torch._C._dispatch_find_schema_or_throw('torchvision::nms', '')\n"
        "except RuntimeError: raise RuntimeError('operator torchvision::nms does not exist')\n",
    )
    found = run("print(guard.ensure_torchvision_imports()); import torchvision", folder)
    assert found.stdout.split() == ["True"], found.stderr


@pytest.mark.skipif(torch.version.cuda is not None, reason="torchvision's kernels load beside a CUDA build of torch")
def test_beside_a_cpu_build_of_torch_torchvision_imports_and_roi_align_works():
    found = run(
        "import torch\n"
        "print(guard.ensure_torchvision_imports())\n"
        "from torchvision.ops import roi_align\n"
        "picture = torch.arange(16.0).reshape(1, 1, 4, 4)\n"
        "print(roi_align(picture, torch.tensor([[0.0, 0, 0, 4, 4]]), 1, aligned=True).item())\n"
    )
    assert found.stdout.split() == ["True", "7.5"], found.stderr
