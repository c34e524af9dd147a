"""A language model of Hugging Face, from its folder or its name on the hub: read, in 4 bits too, or with random weights."""

from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    BitsAndBytesConfig,
    PretrainedConfig,
    PreTrainedModel,
)

from triscope.components.packing import packed
from triscope.hardware import chosen_dtype

Precision = Literal["float32", "bfloat16", "auto", "nf4"]
AttentionImplementation = Literal["auto", "sdpa", "eager"]


def configuration_of(path: str, overrides: dict[str, Any]) -> PretrainedConfig:
    """The model's configuration with some fields changed.

    Raises:
        ValueError: no model at `path`, or no such field.
    """
    try:
        config = AutoConfig.from_pretrained(path)
    except OSError as error:
        raise ValueError(
            f"language path: found no model at {path!r} ({str(error).splitlines()[0]}); expected a Hugging Face folder, seen "
            f"from {Path.cwd()}, or a name on the hub where that can be reached. Correct the path, or run the command where it "
            "leads to the folder."
        ) from error
    for field, value in overrides.items():
        if not hasattr(config, field):
            raise ValueError(
                f"config_overrides: found {field!r}; expected a field of {type(config).__name__}. Check the spelling "
                f"against {path}/config.json."
            )
        setattr(config, field, value)
    return config


def has_no_weights(folder: Path) -> bool:
    """True for a folder that holds a configuration alone; False for a name on the hub."""
    return folder.is_dir() and not any(True for kind in ("*.safetensors", "*.bin") for _ in folder.glob(kind))


def pretrained_model(path: str, config: PretrainedConfig, dtype: Precision, attention: str) -> PreTrainedModel:
    """The model with the weights of `path`, in 4 bits if asked for (NF4 with double quantisation, as QLoRA does)."""
    auto_class, options = _class_and_options(config, dtype, attention)
    four_bit = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    quantization = {"quantization_config": four_bit} if dtype == "nf4" else {}
    model = auto_class.from_pretrained(path, config=config, **options, **quantization)
    if dtype == "nf4":
        _pack_linears(model)  # T5's `wo`, which transformers leaves out: 2.0 of the 11 billion weights of FlanT5-XXL
    return model


def random_model(path: str, config: PretrainedConfig, dtype: Precision, attention: str, asked_for: bool) -> PreTrainedModel:
    """The model with weights as its architecture initialises them.

    Args:
        path: of the model, for the error.
        config, dtype, attention: as for `pretrained_model`.
        asked_for: random weights are wanted, and not just all there is. Then 4 bits hold them, too.

    Raises:
        ValueError: 4 bits are asked for, and random weights are not.
    """
    auto_class, options = _class_and_options(config, dtype, attention)
    if dtype != "nf4" or torch.empty(0).is_meta:
        model = auto_class.from_config(config, **options)
    elif asked_for:
        model = _random_packed_model(auto_class, config, options)
    else:
        raise ValueError(
            f"dtype: found nf4 for {path}, whose weights are not read; expected weights to quantise. Give a path with "
            "weights, set dtype to bfloat16, or ask for `random_weights: true`."
        )
    # transformers 5 ties the head of every T5 that it builds, also where the configuration says that it has its own, as
    # FlanT5's does. Weights that are read untie it again; here it has to be done.
    if getattr(config, "scale_decoder_outputs", True) is False:
        model.lm_head.weight = nn.Parameter(model.lm_head.weight.detach().clone())
    return model


def _random_packed_model(auto_class: Any, config: PretrainedConfig, options: dict[str, Any]) -> PreTrainedModel:
    """A random model whose layers are made and packed one after the other: it never stands whole in bfloat16."""
    device = torch.empty(0).device
    with torch.device("meta"):
        model = auto_class.from_config(config, **options)
    layers = {name: module for name, module in model.named_modules() if type(module).__name__ in model._no_split_modules}
    for name, module in model.named_modules():
        if not name.startswith(tuple(layers)):
            module.to_empty(device=device, recurse=False)
    model.initialize_weights()  # what stands outside the layers; they themselves have no content yet
    model.tie_weights()
    for layer in layers.values():
        layer.to_empty(device=device).apply(model._init_weights)
        _pack_linears(layer)
    model.is_loaded_in_4bit = True  # as transformers says it, and `peft` asks it
    return model


def _pack_linears(model: nn.Module) -> None:
    """Pack the linears of a model or of one of its layers, in place, but for a head and for what is packed already."""
    head = model.get_output_embeddings() if isinstance(model, PreTrainedModel) else None
    for name, module in list(model.named_modules()):
        if type(module) is nn.Linear and module is not head:
            is_wo = name.endswith(".wo")
            model.set_submodule(name, packed(module, kept_in=torch.bfloat16 if is_wo else torch.uint8))
    part: Any
    for part in model.modules():
        if hasattr(part, "support_avx512bf16_for_cpu"):
            # bitsandbytes packs weights anew for some CPUs when it first reads without gradients: a layout that has no backward,
            # is less exact, and does not exist for matrices narrower than a block.
            part.support_avx512bf16_for_cpu = False


def _class_and_options(config: PretrainedConfig, dtype: Precision, attention: str) -> tuple[Any, dict[str, Any]]:
    """What builds a model of this configuration, and in which precision and with which attention."""
    auto_class = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    computed_in = torch.bfloat16 if dtype == "nf4" else chosen_dtype(dtype)
    return auto_class, {"dtype": computed_in, "attn_implementation": _attention(attention, computed_in)}


def _attention(choice: str, computed_in: torch.dtype) -> str:
    """The attention implementation for a precision on this machine.

    On a CPU in bfloat16, matrix products and softmax ("eager") are faster than the fused kernel. Measured forward and
    backward, Llama of width 576, 6 layers, batch 4 x 256: 0.75 s against 0.99 s on one core, 0.35 s against 0.40 s on
    two. In float32 the fused kernel is faster (1.30 s against 1.36 s).
    """
    if choice != "auto":
        return choice
    return "eager" if computed_in == torch.bfloat16 and not torch.cuda.is_available() else "sdpa"
