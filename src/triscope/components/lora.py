"""Low-rank adaptation of a language model's matrices (LoRA), by `peft`: W x becomes W x + (alpha / rank) B A x.

B starts at zero, so that a model with fresh adaptations is the one without. The base may be in 4 bits.
Source: Hu et al., "LoRA" (arXiv 2106.09685); Dettmers et al., "QLoRA" (arXiv 2305.14314).
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from triscope.components.packing import is_packed

_ADAPTER = "default"  # the name by which peft calls our only one
MARK = ".lora_"  # in the name of every parameter of an adaptation


@dataclass(frozen=True)
class LoraOptions:
    """Which matrices are adapted, and how.

    Args:
        rank: inner width of A and B.
        alpha: the adaptation is scaled by alpha / rank.
        dropout: on what A reads, in training.
        modules: last parts of the names of adapted Linears, such as `[q_proj, v_proj]`; all of them but the head if None.
    """

    rank: int = 16
    alpha: int = 32
    dropout: float = 0.0
    modules: list[str] | None = None


def add_lora(model: PreTrainedModel, options: LoraOptions) -> None:
    """Put adaptations beside the Linears of a model, in place. They are float32, and the only parameters that train.

    Raises:
        ValueError: none of the modules is in the model.
    """
    from peft import LoraConfig, inject_adapter_in_model

    head = model.get_output_embeddings()
    linears = {
        name.rpartition(".")[2] for name, part in model.named_modules() if isinstance(part, nn.Linear) and part is not head
    }
    modules = options.modules if options.modules is not None else sorted(linears)
    if not modules or not set(modules) <= linears:
        raise ValueError(f"lora.modules: found {modules}; expected some of {sorted(linears)}. Correct the names.")
    inject_adapter_in_model(
        LoraConfig(r=options.rank, lora_alpha=options.alpha, lora_dropout=options.dropout, target_modules=modules),
        model,
        _ADAPTER,
    )
    for name, parameter in model.named_parameters():
        if MARK in name:
            parameter.data = parameter.data.float()


def merge_lora(model: PreTrainedModel) -> int:
    """Fold every adaptation into its matrix, in place: W + (alpha / rank) B A, rounded once to the precision of W.

    Returns:
        How many matrices were changed.

    Raises:
        ValueError: the base is in 4 bits, and would be rounded to 4 bits again.
    """
    if not any(MARK in name for name, _ in model.named_parameters()):
        return 0  # without importing peft, which is slow and needs what is not there
    from peft.tuners.lora import LoraLayer

    adapted: list[tuple[str, Any]] = [(name, part) for name, part in model.named_modules() if isinstance(part, LoraLayer)]
    for name, part in adapted:
        matrix = part.get_base_layer().weight
        if is_packed(matrix):
            raise ValueError(f"merge: found {name} in 4 bits; expected bfloat16 or float32. Load the base in bfloat16 first.")
        with torch.no_grad():
            matrix.copy_(matrix.float() + part.get_delta_weight(_ADAPTER).float())
        model.set_submodule(name, part.get_base_layer())
    return len(adapted)
