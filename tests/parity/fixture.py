"""Recorded numbers of the reference implementations: `NAME.json` (sizes) beside `NAME.safetensors` (tensors)."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest
from safetensors.torch import load_file
from torch import Tensor

from tests.conftest import SHARED_PARITY


@dataclass(frozen=True)
class Fixture:
    """One recorded run. `fixture["outputs/output"]` is a tensor, `fixture.config` the sizes of the run.

    Args:
        path: of the `.json`; the tensors, if there are any, lie beside it and are read when first asked for.
    """

    path: Path

    @cached_property
    def description(self) -> dict:
        """The whole `.json`: config, notes, norms of gradients."""
        return json.loads(self.path.read_text())

    @property
    def config(self) -> dict:
        return self.description["config"]

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        return load_file(self.path.with_suffix(".safetensors"))

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    def under(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose names start with `prefix`, which is cut off: `under("weights/")` is a state dict."""
        return {name.removeprefix(prefix): value for name, value in self.tensors.items() if name.startswith(prefix)}


def for_each_fixture(system: str, name: str) -> pytest.MarkDecorator:
    """Runs a test, as its argument `fixture`, on `SYSTEM/NAME` of every parity folder; skips where there is none.

    A folder of `TRISCOPE_PARITY` holds one folder a system, or the files themselves.
    """
    found = [
        Fixture(folder / f"{name}.json")
        for root in SHARED_PARITY
        for folder in (root / system, root)
        if (folder / f"{name}.json").is_file()
    ]
    reason = f"no {system}/{name}.json in {', '.join(map(str, SHARED_PARITY))}: set TRISCOPE_PARITY"
    absent = pytest.param(None, id="absent", marks=pytest.mark.skip(reason=reason))
    named = [pytest.param(fixture, id=str(fixture.path.parent)) for fixture in found]
    return pytest.mark.parametrize("fixture", named or [absent])
