"""What every tagger has: pictures in, tags with their confidence out; and how a file configures one."""

import json
from abc import ABC, abstractmethod
from argparse import ArgumentError
from pathlib import Path
from typing import Any

import torch
import yaml
from jsonargparse import ArgumentParser
from torch import Tensor, nn

from triscope.checkpoints.relative_paths import placed
from triscope.data.errors import ConfigurationError
from triscope.data.sample import Image, Tag
from triscope.data.transforms import PictureTransform
from triscope.devices import on_device
from triscope.tagging.vocabulary import Vocabulary

TAGGER_FILE = "tagger.yaml"  # of a tagger's folder
SCORE_DECIMALS = 4  # of the scores that go into shards


class Tagger(nn.Module, ABC):
    """Scores every name of a vocabulary for a picture; the names above their thresholds are its tags.

    Letters: I pictures, K names.

    Args:
        vocabulary: K names; thresholds only where tags are asked for, not for scores.
        image_size: side of the square that pictures are squashed to, in pixels.
        mean, std: of the colours that the network was trained with, from 0 to 1.
    """

    def __init__(
        self, vocabulary: Vocabulary, image_size: int, mean: tuple[float, float, float], std: tuple[float, float, float]
    ) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.image_size = image_size
        self.mean, self.std = tuple(mean), tuple(std)

    @abstractmethod
    def probabilities(self, pixels_ICHW: Tensor) -> Tensor:
        """Score of every name (I, K), from 0 to 1, for normalised pictures."""

    @torch.no_grad()
    def forward(self, pixels_ICHW: Tensor) -> Tensor:
        """Score of every name.

        Args:
            pixels_ICHW: uint8 squares of `image_size`.

        Returns:
            (I, K) from 0 to 1, on the CPU.
        """
        device = next(self.parameters()).device
        mean_C11, std_C11 = (torch.tensor(values, device=device).view(3, 1, 1) for values in (self.mean, self.std))
        return self.probabilities((pixels_ICHW.to(device) / 255 - mean_C11) / std_C11).float().cpu()

    def tags(self, pixels_ICHW: Tensor) -> list[tuple[Tag, ...]]:
        """The tags of each picture, in the order of the vocabulary.

        Args:
            pixels_ICHW: as in `forward`.

        Raises:
            ConfigurationError: no thresholds are known.
        """
        if self.vocabulary.thresholds is None:
            remedy = "find them with `python -m data_pipelines calibrate`, and name their file in the tagger's `thresholds`"
            raise ConfigurationError("tagger, thresholds", "none", "a threshold for each name", remedy)
        scores_IK = self(pixels_ICHW)
        given_IK = scores_IK > torch.tensor(self.vocabulary.thresholds)
        return [
            tuple(Tag(self.vocabulary.names[k], round(float(scores_K[k]), SCORE_DECIMALS)) for k in given_K.nonzero()[:, 0])
            for scores_K, given_K in zip(scores_IK, given_IK, strict=True)
        ]

    def pixels(self, content: bytes, image: Image, where: str) -> Tensor:
        """A picture as `forward` takes it: uint8 (3, image_size, image_size).

        Raises:
            BadSampleError: it does not decode, or has another size than `image` says.
        """
        return PictureTransform(self.image_size, draft=False).pixels(content, image, flipped=False, where=where)


def read_tagger(path: str | Path, of_class: type = Tagger) -> dict[str, Any]:
    """A tagger's configuration, as docs/data.md shows one, as plain values with all defaults filled in.

    Args:
        path: its file, or the folder that `triscope import ram` wrote; paths in there that begin with ./ lie beside it.
        of_class: the taggers that will do.

    Raises:
        ConfigurationError: the file is missing, or configures no such tagger.
    """
    file = Path(path) / TAGGER_FILE if Path(path).is_dir() else Path(path)
    if not file.is_file():
        raise ConfigurationError(f"tagger {file}", "no file", "a tagger's configuration", "see docs/data.md")
    parser = _parser(of_class)
    try:
        parsed = parser.parse_object({"tagger": placed(yaml.safe_load(file.read_text()), file.parent)})
    except (ArgumentError, yaml.YAMLError, UnicodeDecodeError) as error:
        message = " ".join(str(error).split())
        raise ConfigurationError(f"tagger {file}", message, "class_path and init_args of a tagger", "see docs/data.md") from None
    return json.loads(parser.dump(parsed, format="json", skip_none=False))["tagger"]


def build_tagger(configuration: dict[str, Any], device: str = "cpu") -> Tagger:
    """A tagger that `read_tagger` has read, in evaluation mode.

    Raises:
        ConfigurationError: vocabulary, thresholds and weights do not fit, a file is missing or cut off, or there
            is no such device.
    """
    parser = _parser(Tagger)
    parsed = parser.parse_object({"tagger": configuration})
    return on_device(parser.instantiate(parsed).tagger.eval().requires_grad_(False), device)


def _parser(of_class: type) -> ArgumentParser:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--tagger", type=of_class, required=True)
    return parser
