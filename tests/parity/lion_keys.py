"""From the authors' names of LION to ours, by the map that imports their checkpoints; the frozen T5 is not in those."""

import re
from collections.abc import Sequence

from torch import Tensor

from triscope.checkpoints.kinds.lion import LION
from triscope.data.batch import LEVELS

_FEED_FORWARD = re.compile(r"(encoder\.block\.\d+\.layer\.1|decoder\.block\.\d+\.layer\.2)\.(DenseReluDense|layer_norm)")


def ours(weights: dict[str, Tensor], under: str, prefix: str = "") -> dict[str, Tensor]:
    """What goes to names that start with `under`, which is cut off: `ours(weights, "bridges.qformer.")` fills that bridge.

    Args:
        weights: in the authors' names.
        under: a module of our model.
        prefix: stands before their names in a whole checkpoint, where these weights are those of one module.
    """
    renamed = LION.map.renamed({prefix + name: value for name, value in weights.items()})
    return {name.removeprefix(under): value for name, value in renamed.items() if name.startswith(under)}


def aggregator(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """`VisionAggregator`, from the keys of the module alone: `blocks.0.attention.self.query.weight`, ..."""
    return ours(weights, "bridges.aggregator.aggregator.", "fusion_adapter.")


def mixture(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """`AdapterMixture`, from the keys of the module alone: `adapters.0.scale`, ..."""
    block = "encoder.block.0.layer.1."
    return ours(weights, f"language.model.{block}mixture.", f"t5_model.{block}adapter.")


def language_model(weights: dict[str, Tensor], levels: Sequence[str] = LEVELS) -> dict[str, Tensor]:
    """`LanguageModel` with its adapters, from the keys that start with `t5_model.`. Of one level: adapter 0, no router."""
    theirs = {name: value for name, value in weights.items() if name.startswith("t5_model.")}
    frozen = {name: value for name, value in theirs.items() if ".adapter." not in name}
    adapted = ours(theirs, "language.")
    if len(levels) == 1:
        first = {name: value for name, value in adapted.items() if ".mixture.adapters.region." in name}
        adapted = {name.replace(".region.", f".{levels[0]}."): value for name, value in first.items()}
    renamed = {
        _FEED_FORWARD.sub(r"\1.original.\2", name).replace("t5_model.", "model.", 1): value for name, value in frozen.items()
    }
    return renamed | adapted
