"""Let torchvision import beside a CPU build of torch.

PyPI serves torchvision only with CUDA kernels. Beside a CPU build of torch its extension cannot load, and the import then
stops at `operator torchvision::nms does not exist`, which also breaks timm, open_clip, torchmetrics and Lightning. Two
operator schemas are all that is missing. This module declares them, and acts only when that very error occurs.
"""

import importlib
import importlib.util
import sys

import torch

_MISSING_OPERATOR = "operator torchvision::nms does not exist"
_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_declared_library: torch.library.Library | None = None  # must outlive the import: the schemas die with it


def ensure_torchvision_imports() -> bool:
    """Import torchvision, declaring its two missing operator schemas if that is what stops it.

    Returns:
        True if the schemas had to be declared, False if torchvision imports as it is or is not installed.

    Raises:
        RuntimeError: torchvision fails for any other reason; it is passed on unchanged.
    """
    global _declared_library
    if importlib.util.find_spec("torchvision") is None:
        return False
    try:
        importlib.import_module("torchvision")
        return False
    except RuntimeError as error:
        if _MISSING_OPERATOR not in str(error):
            raise
    _declared_library = torch.library.Library("torchvision", "DEF")
    for schema in _SCHEMAS:
        _declared_library.define(schema)
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    importlib.import_module("torchvision")
    return True
