"""Recognize Anything (RAM): a Swin transformer, and a head that asks it about every tag at once.

    pixels_ICHW --Swin--> tokens_IPW, their mean in front --Linear--> memory_IPM
    label_embeddings_KM --Linear, ReLU--> queries_KW' --cross-attention to memory, feed-forward; twice--> one Linear --> logits_IK

Source: Zhang et al., "Recognize Anything" (arXiv 2306.03514), with the query-to-label head of Liu et al. (arXiv 2107.10834).
LION (arXiv 2311.11860) takes its tags from it: the large Swin at 384 pixels, 4,585 tags, a threshold for each.
"""

from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

from triscope.checkpoints.tensor_files import TensorSource
from triscope.components.aggregator import PostNormAttention, PostNormFeedForward
from triscope.data.errors import ConfigurationError
from triscope.tagging.tagger import Tagger
from triscope.tagging.vocabulary import Vocabulary

LABELS = "label_embeddings_KM"
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class TaggingLayer(nn.Module):
    """Every tag reads the picture for itself: cross-attention and feed-forward, each with residual and norm.

    Args:
        width: of the tags' vectors.
        memory_width: of the picture's.
        heads: of the attention.
        feed_forward_width: inner width.
    """

    def __init__(self, width: int, memory_width: int, heads: int, feed_forward_width: int) -> None:
        super().__init__()
        self.cross_attention = PostNormAttention(width, heads, dropout=0.0, memory_width=memory_width)
        self.feed_forward = PostNormFeedForward(width, feed_forward_width, dropout=0.0)

    def forward(self, queries_IKW: Tensor, memory_IPM: Tensor) -> Tensor:
        return self.feed_forward(self.cross_attention(queries_IKW, memory_IPM))


class RecognizeAnything(nn.Module):
    """The network of RAM, as far as it gives tags. Local letters: M width of the memory, W of the tags' vectors.

    Args:
        tags: K.
        image_size: side of the square pictures in pixels.
        trunk: name of a Swin transformer of timm.
        trunk_options: sizes that differ from the named trunk's.
        memory_width: M, of the projected picture and of the tags' embeddings.
        width: W.
        layers, heads, feed_forward_width: of the head.
    """

    trunk: Any  # of timm

    def __init__(
        self,
        tags: int,
        image_size: int = 384,
        trunk: str = "swin_large_patch4_window12_384",
        trunk_options: dict[str, Any] | None = None,
        memory_width: int = 512,
        width: int = 768,
        layers: int = 2,
        heads: int = 4,
        feed_forward_width: int = 3072,
    ) -> None:
        super().__init__()
        self.trunk = timm.create_model(trunk, img_size=image_size, num_classes=0, **(trunk_options or {}))
        self.image_projection = nn.Linear(self.trunk.num_features, memory_width)
        self.label_embeddings_KM = nn.Parameter(torch.empty(tags, memory_width))
        self.label_projection = nn.Linear(memory_width, width)
        self.layers = nn.ModuleList(TaggingLayer(width, memory_width, heads, feed_forward_width) for _ in range(layers))
        self.score = nn.Linear(width, 1)
        nn.init.normal_(self.label_embeddings_KM, std=0.02)

    def forward(self, pixels_ICHW: Tensor) -> Tensor:
        """Logit of every tag (I, K) for normalised pictures."""
        memory_IPM = self.image_projection(self.tokens(pixels_ICHW))
        queries_IKW = self.label_queries().expand(len(pixels_ICHW), -1, -1)
        for layer in self.layers:
            queries_IKW = layer(queries_IKW, memory_IPM)
        return self.score(queries_IKW).squeeze(-1)

    def tokens(self, pixels_ICHW: Tensor) -> Tensor:
        """The trunk's tokens (I, P, width of the trunk), row by row, their mean in front."""
        tokens = self.trunk.forward_features(pixels_ICHW).flatten(1, 2)
        return torch.cat([tokens.mean(1, keepdim=True), tokens], dim=1)

    def label_queries(self) -> Tensor:
        """What each tag begins with (K, W)."""
        return self.label_projection(self.label_embeddings_KM).relu()


class RamTagger(Tagger):
    """RAM with its published list of tags. Names are given in lower case, as LION writes them into prompts.

    Args:
        weights: what `triscope import ram` makes of the published checkpoint; None for random weights, which tag nothing
            sensible. Not read on the meta device.
        names: file of tags, one a line, in the order of the checkpoint.
        thresholds: file with the threshold of each tag on the same line.
        image_size: as the checkpoint was trained with.
        network_options: sizes that differ from the published network's, see `RecognizeAnything`.

    Raises:
        ConfigurationError: names, thresholds and weights are not of one length, or the weights are cut off or of another network.
    """

    def __init__(
        self,
        weights: str | None,
        names: str,
        thresholds: str | None,
        image_size: int = 384,
        network_options: dict[str, Any] | None = None,
    ) -> None:
        listed = Vocabulary.read(names, thresholds)
        vocabulary = Vocabulary(tuple(name.lower() for name in listed.names), listed.thresholds)
        super().__init__(vocabulary, image_size, IMAGENET_MEAN, IMAGENET_STD)
        self.network = RecognizeAnything(len(vocabulary.names), image_size, **(network_options or {}))
        if weights is not None and not self.network.label_embeddings_KM.is_meta:
            _load(self.network, weights, names)

    def probabilities(self, pixels_ICHW: Tensor) -> Tensor:
        """The sigmoid of every tag's logit."""
        return self.network(pixels_ICHW).sigmoid()


def _load(network: RecognizeAnything, weights: str, names: str) -> None:
    source, expected = TensorSource.open(weights), network.state_dict()
    labels = source.layout.get(LABELS)
    if labels is not None and len(labels) != len(expected[LABELS]):
        raise other_vocabulary(f"weights {weights}", len(labels), len(expected[LABELS]), names)
    found, wanted = ({(name, tensor.shape) for name, tensor in each.items()} for each in (source.layout, expected))
    if found != wanted:
        example = sorted(name for name, _ in found ^ wanted)[0]
        raise ConfigurationError(
            f"weights {weights}",
            f"{len(found - wanted)} tensors of another network and {len(wanted - found)} missing (such as {example})",
            "what `triscope import ram` writes, for a network of these sizes",
            "import the published file, or correct network_options",
        )
    network.load_state_dict({name: source.read(name) for name in expected})


def other_vocabulary(where: str, embeddings: int, listed: int, names: str | Path) -> ConfigurationError:
    """Weights and list of tags do not belong together."""
    return ConfigurationError(
        where,
        f"embeddings of {embeddings} tags",
        f"{listed}, one for each line of {names}",
        "give the list of tags that the checkpoint was trained with",
    )
