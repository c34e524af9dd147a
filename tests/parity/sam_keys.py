"""From the authors' names of SAM's own tensors to ours, by the map that imports their checkpoints."""

from torch import Tensor

from triscope.checkpoints.kinds.kind import BASE
from triscope.checkpoints.kinds.sam import SAM


def qformer_bridge(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """`QFormerBridge` with alignment, from the keys of the whole SAM. Without `ln_vision` there, the norm is left out."""
    in_two_files = weights | {BASE + name: value for name, value in weights.items()}
    return {name.removeprefix("bridges.qformer."): value for name, value in SAM.map.renamed(in_two_files).items()}


def alignment(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """`SemanticAlignment`, from the keys of the whole SAM."""
    bridge = qformer_bridge(weights)
    return {name.removeprefix("alignment."): value for name, value in bridge.items() if name.startswith("alignment.")}
