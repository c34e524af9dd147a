"""Tiny real taggers: configurations over files in a folder, as docs/data.md shows them."""

from pathlib import Path

import torch
import yaml
from open_clip import create_model
from safetensors.torch import save_file
from torch import Tensor

from tests.data.tiny import word_tokenizer
from tests.tiny_model import AGGREGATOR, TOWER, TOWER_OPTIONS
from triscope.checkpoints.kinds.ram import RAM as KIND
from triscope.checkpoints.kinds.ram import TAGGER
from triscope.components.aggregator import AggregatorBridge
from triscope.components.vision import VisionEncoder
from triscope.tagging.naming import BRIDGE, WORDS
from triscope.tagging.ram import RamTagger
from triscope.tagging.tagger import Tagger, build_tagger, read_tagger

NAMES = ("Dog", "cat", "grass", "leash", "traffic light")
WORD_WIDTH = 8
RAM = {
    "image_size": 32,
    "network_options": {
        "trunk_options": {"embed_dim": 8, "depths": [2, 1], "num_heads": [1, 2], "window_size": 4},
        **{"memory_width": 8, "width": 16, "heads": 2, "feed_forward_width": 24},
    },
}
CLIP = {
    "model": "ViT-B-32",
    "templates": ["a photo of a {}.", "the {}"],
    "model_options": {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 28, "layers": 2, "width": 32, "head_width": 16, "patch_size": 14},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
    },
}


def write_ram(folder: Path, thresholds: tuple[float, ...] = (0.5,) * len(NAMES)) -> Path:
    """A RAM of random weights; its configuration file."""
    _write_lists(folder, thresholds)
    torch.manual_seed(0)
    tagger = RamTagger(None, str(folder / "names.txt"), None, **RAM)
    for parameter in tagger.network.parameters():
        torch.nn.init.normal_(parameter, std=0.4)  # far from 0, so that pictures differ
    save_file(tagger.network.state_dict(), folder / "ram.safetensors")
    return _write(folder / "ram.yaml", "ram.RamTagger", {"weights": str(folder / "ram.safetensors"), **RAM}, folder)


def published_ram(tagger: RamTagger) -> dict[str, Tensor]:
    """A tagger's tensors under the names of the published file."""
    state = KIND.map.inverse().renamed({TAGGER + name: value for name, value in tagger.network.state_dict().items()})
    return {name: value for name, value in state.items() if not name.startswith("vision_multi")}


def write_open_clip(folder: Path, thresholds: tuple[float, ...] | None = (0.5,) * len(NAMES)) -> Path:
    """A CLIP of random weights; its configuration file."""
    _write_lists(folder, thresholds)
    torch.manual_seed(0)
    clip = create_model(CLIP["model"], load_weights=False, **CLIP["model_options"])
    save_file({name: value.contiguous() for name, value in clip.state_dict().items()}, folder / "clip.safetensors")
    arguments = {"weights": str(folder / "clip.safetensors"), **CLIP}
    return _write(folder / "clip.yaml", "zero_shot.ZeroShotTagger", arguments, folder, thresholds is not None)


def write_naming(folder: Path, thresholds: tuple[float, ...] | None = (0.5,) * len(NAMES)) -> Path:
    """A bridge of random weights over a random tower, and random words; its configuration file."""
    _write_lists(folder, thresholds)
    torch.manual_seed(0)
    tower = VisionEncoder(**TOWER, tower_options=TOWER_OPTIONS)
    bridge = AggregatorBridge(tower.width, WORD_WIDTH, tower.patches, **AGGREGATOR)
    for parameter in [*tower.parameters(), *bridge.parameters()]:
        torch.nn.init.normal_(parameter, std=0.4)  # so that pictures differ
    with torch.no_grad():
        bridge.projector[-1].weight.mul_(0.25)  # so that more than one word is likely
        bridge.projector[-1].bias.mul_(0.25)
    save_file(tower.tower.state_dict(), folder / "tower.safetensors")
    tokenizer = word_tokenizer()
    tokenizer.save_pretrained(folder / "tokenizer")
    words = {WORDS: torch.randn(len(tokenizer), WORD_WIDTH)}
    save_file({BRIDGE + name: value for name, value in bridge.state_dict().items()} | words, folder / "naming.safetensors")
    vision = {**TOWER, "taps": list(TOWER["taps"]), "tower_options": TOWER_OPTIONS, "weights": str(folder / "tower.safetensors")}
    arguments = {
        "vision": {"class_path": "triscope.components.vision.VisionEncoder", "init_args": vision},
        "bridge": {"class_path": "triscope.components.aggregator.AggregatorBridge", "init_args": AGGREGATOR},
        "weights": str(folder / "naming.safetensors"),
        "tokenizer": str(folder / "tokenizer"),
    }
    return _write(folder / "naming.yaml", "naming.NamingTagger", arguments, folder, thresholds is not None)


def built(path: Path) -> Tagger:
    """The tagger of a configuration file or of a tagger's folder."""
    return build_tagger(read_tagger(path))


def _write_lists(folder: Path, thresholds: tuple[float, ...] | None) -> None:
    (folder / "names.txt").write_text("\n".join(NAMES))
    (folder / "thresholds.txt").write_text("\n".join(map(str, thresholds or ())))


def _write(file: Path, name: str, arguments: dict, folder: Path, thresholds: bool = True) -> Path:
    lists = {"names": str(folder / "names.txt"), "thresholds": str(folder / "thresholds.txt") if thresholds else None}
    file.write_text(yaml.safe_dump({"class_path": f"triscope.tagging.{name}", "init_args": {**arguments, **lists}}))
    return file
