"""Tags of any vocabulary from a CLIP of open_clip: how near a picture lies to a sentence with the name."""

from typing import Any

import open_clip
import torch
from torch import Tensor
from torch.nn import functional as F

from triscope.checkpoints.tensor_files import TensorSource
from triscope.data.errors import ConfigurationError
from triscope.tagging.tagger import Tagger
from triscope.tagging.vocabulary import Vocabulary

TEXTS_AT_A_TIME = 256


class ZeroShotTagger(Tagger):
    """Zero-shot tags. A score is (1 + cosine) / 2 of picture and name; what counts as near differs from name to name, so
    thresholds are calibrated on tagged pictures (`python -m data_pipelines calibrate`).

    Source: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision" (arXiv 2103.00020),
    section 3.1.4: a name's direction is the mean over sentences with it.

    Args:
        model: name of a CLIP of open_clip, such as `ViT-B-32`.
        weights: its weights, safetensors or what `torch.save` writes; None for random ones, which tag nothing sensible.
        names: file of names, one a line.
        thresholds: file with the threshold of each name on the same line; None before calibration.
        templates: sentences; `{}` is the name.
        model_options: sizes that differ from the named model's (fields of open_clip's configurations).

    Raises:
        ConfigurationError: no such model, the weights are cut off or of another model, or files that do not fit together.
    """

    names_KE: Tensor

    def __init__(
        self,
        model: str,
        weights: str | None,
        names: str,
        thresholds: str | None = None,
        templates: tuple[str, ...] = ("a photo of a {}.", "a picture with a {} in it."),
        model_options: dict[str, Any] | None = None,
    ) -> None:
        if open_clip.get_model_config(model) is None:
            raise ConfigurationError("tagger, model", repr(model), "a CLIP that open_clip knows", "see open_clip.list_models()")
        if not templates or not all(template.count("{}") == 1 for template in templates):
            raise ConfigurationError("tagger, templates", f"{list(templates)}", "sentences with one {}", "put {} for the name")
        clip: Any = open_clip.create_model(model, load_weights=False, pretrained_text=False, **(model_options or {}))
        expected = clip.visual.preprocess_cfg
        super().__init__(Vocabulary.read(names, thresholds), _side(expected["size"]), expected["mean"], expected["std"])
        self.clip = clip.eval()
        if weights is not None:
            _load(clip, weights, model)
        self.register_buffer("names_KE", _directions(clip, open_clip.get_tokenizer(model), self.vocabulary.names, templates))

    def probabilities(self, pixels_ICHW: Tensor) -> Tensor:
        """(1 + cosine) / 2 of each picture and name."""
        pictures_IE = self.clip.encode_image(pixels_ICHW, normalize=True)
        return (1 + pictures_IE @ self.names_KE.T) / 2


@torch.no_grad()
def _directions(clip: Any, tokenizer: Any, names: tuple[str, ...], templates: tuple[str, ...]) -> Tensor:
    """Mean direction (K, E) of the sentences with each name."""
    means = []
    for template in templates:
        texts = [template.format(name) for name in names]
        groups = [texts[start : start + TEXTS_AT_A_TIME] for start in range(0, len(texts), TEXTS_AT_A_TIME)]
        means.append(torch.cat([clip.encode_text(tokenizer(group), normalize=True) for group in groups]))
    return F.normalize(torch.stack(means).mean(0), dim=-1)


def _load(clip: Any, weights: str, model: str) -> None:
    found = TensorSource.open(weights).layout  # refuses what is cut off or more than tensors
    try:
        open_clip.load_checkpoint(clip, weights, strict=True, weights_only=True, device="cpu")
    except (RuntimeError, KeyError) as error:
        problem = f"{len(found)} tensors that do not fit ({' '.join(str(error).split())[:300]})"
        expected = f"the {len(clip.state_dict())} tensors of {model}"
        raise ConfigurationError(f"weights {weights}", problem, expected, "name the model of these weights") from None


def _side(size: int | tuple[int, int]) -> int:
    return size if isinstance(size, int) else size[0]
