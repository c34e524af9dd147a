"""From the authors' names of SAM's own tensors to ours."""

from torch import Tensor

from tests.parity import lion_keys

IN_ALIGNMENT = {
    "Qformer.bert.encoder.one_2_muliple.0.": "into_context.",  # their spelling
    "Qformer.bert.encoder.multiple_2_one.0.": "from_context.",
    "attn.": "adjustment.",
}


def alignment(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """`SemanticAlignment`, from the keys of the whole SAM."""
    return {
        ours + name.removeprefix(theirs): value
        for theirs, ours in IN_ALIGNMENT.items()
        for name, value in weights.items()
        if name.startswith(theirs)
    }


def qformer_bridge(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """`QFormerBridge` with alignment, from the keys of the whole SAM. Without `ln_vision` there, the norm is left out."""
    return lion_keys.qformer_bridge(weights, "llm_proj.") | {
        f"alignment.{name}": value for name, value in alignment(weights).items()
    }
