"""triscope: language models that see the whole image, its regions, and several images at once."""

from triscope.torchvision_guard import ensure_torchvision_imports
from triscope.version import __version__

# Lightning, open_clip, timm and torchmetrics import torchvision while they are imported: mend it first.
ensure_torchvision_imports()

__all__ = ["__version__"]
