"""The memory of a training step before it is taken.

The model is built without content, and one step of a batch is run on tensors that have a shape and no content either: what
is alive at a time is counted, not estimated. Not counted: what a GPU's driver takes (about half a GiB), what memory loses to
fragments, and what a region encoder's own tower holds while it looks at pictures.
"""

import re
import weakref
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import zip_longest
from math import ceil
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from triscope.components import unpadded_causal, unpadded_t5
from triscope.components.adapters import Span
from triscope.components.language import TokenPredictions
from triscope.components.regions import RegionEncoder
from triscope.components.unpadded_causal import SharedPrefix
from triscope.data.batch import Batch, Placeholder
from triscope.data.prompts import PromptStyle
from triscope.distributed import sharding_groups
from triscope.model import VisualLanguageModel
from triscope.stages import Stage
from triscope.stages.losses import token_losses

OWN = re.compile(r"\.(?:adapters|lora_\w+)\.")  # in the names of what stands beside the language model's own matrices
PACKED_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)  # a weight in NF4 with double quantisation, its scales included


class RowShape(NamedTuple):
    """The sizes of a row of a batch.

    Args:
        images: shown.
        text_tokens: without those of images.
        answer_tokens: supervised, among them.
    """

    images: int
    text_tokens: int
    answer_tokens: int


@dataclass(frozen=True)
class StepShape:
    """The sizes of a batch that its memory depends on.

    Args:
        rows: the longest first.
        images: I.
        question_tokens: S.
        regions: G, shown as tokens.
        pixels_dtype: of the images as they are sent.
        prefixes: U, of which rows share one each; 0 where they share none.
        prefix_tokens: of the longest.
    """

    rows: tuple[RowShape, ...]
    images: int
    question_tokens: int
    regions: int
    pixels_dtype: torch.dtype = torch.uint8
    prefixes: int = 0
    prefix_tokens: int = 0

    @classmethod
    def of(cls, batch: Batch, prefix: SharedPrefix | None = None) -> "StepShape":
        """The sizes of a batch, of which a causal model reads what rows share once."""
        is_region_BT = batch.ids_BT == Placeholder.REGION
        text_BT = (batch.valid_BT & (batch.ids_BT != Placeholder.IMAGE)) * torch.where(is_region_BT, RegionEncoder.tokens, 1)
        images_B = torch.bincount(batch.pair_row_N, minlength=len(batch))
        sizes_B3 = torch.stack([images_B, text_BT.sum(1), (batch.supervised_BT & batch.valid_BT).sum(1)], dim=1)
        return cls(
            rows=tuple(sorted((RowShape(*sizes) for sizes in sizes_B3.tolist()), reverse=True)),
            images=len(batch.pixels_ICHW),
            question_tokens=batch.question_ids_BS.shape[1],
            regions=len(batch.region_row_G),
            pixels_dtype=batch.pixels_ICHW.dtype,
            prefixes=len(prefix.row_U) if prefix else 0,
            prefix_tokens=int(prefix.length_U.max()) if prefix else 0,
        )

    @classmethod
    def full(
        cls, style: PromptStyle, samples: int, questions: int, shared_pictures: bool = True, pixels_as_bytes: bool = True
    ) -> "StepShape":
        """A batch of samples of an image and so many questions, whose prompts and answers are as long as they may be."""
        rows = samples * questions
        row = RowShape(1, style.max_prompt_tokens + style.max_answer_tokens, style.max_answer_tokens)
        return cls(
            rows=(row,) * rows,
            images=samples if shared_pictures else rows,
            question_tokens=style.max_question_tokens,
            regions=rows,
            pixels_dtype=torch.uint8 if pixels_as_bytes else torch.float32,
        )

    @classmethod
    def largest(cls, shapes: Sequence["StepShape"]) -> "StepShape":
        """The largest sizes of some batches, of their longest rows, of the next, and so on."""
        alike = zip_longest(*(shape.rows for shape in shapes), fillvalue=RowShape(0, 0, 0))
        sizes: dict[str, Any] = {
            name: max(getattr(shape, name) for shape in shapes) for name in ("images", "question_tokens", "regions")
        }
        if all(shape.prefixes for shape in shapes):  # a batch that shares nothing is the largest
            sizes |= {name: max(getattr(shape, name) for shape in shapes) for name in ("prefixes", "prefix_tokens")}
        sizes["pixels_dtype"] = max((shape.pixels_dtype for shape in shapes), key=lambda dtype: dtype.itemsize)
        return cls(rows=tuple(RowShape(*map(max, zip(*rows, strict=True))) for rows in alike), **sizes)

    @property
    def pairs(self) -> int:
        """N, of a row and an image; a batch without any is shown a dummy."""
        return max(1, sum(row.images for row in self.rows))

    @property
    def supervised_tokens(self) -> int:
        """M, of all rows."""
        return sum(row.answer_tokens for row in self.rows)


@dataclass(frozen=True)
class Execution:
    """How a step is taken.

    Args:
        autocast: products are taken in bfloat16.
        accumulates: gradients are summed over several micro-batches.
        on_gpu: AdamW updates all parameters at a time, where they are not cut.
        has_buckets: DDP keeps a second copy of the gradients, which processes exchange.
        pieces: of which each device holds one (FSDP2); 1 for a whole model.
        compute_dtype: in which the layers of a model in pieces are gathered; None for their own.
    """

    autocast: bool = False
    accumulates: bool = False
    on_gpu: bool = False
    has_buckets: bool = False
    pieces: int = 1
    compute_dtype: torch.dtype | None = None


@dataclass(frozen=True)
class Memory:
    """Bytes of a training step on one device.

    Args:
        weights: by part and whether it trains.
        optimizer: AdamW's two moments of what trains.
        step: the most that is alive in a step besides: activations, gradients, and what the optimizer needs for a moment.
    """

    weights: dict[str, int]
    optimizer: int
    step: int

    @property
    def total(self) -> int:
        """All of it."""
        return sum(self.weights.values()) + self.optimizer + self.step


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of tensors that are made while it is on, for as long as they live.

    Attributes:
        peak: the most at a time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._add(tensor.untyped_storage())
        return result

    def ignore(self, tensors: Any) -> None:
        """Leave tensors out that were there before."""
        for tensor in tensors:
            self._known.add(tensor.untyped_storage()._cdata)

    def _add(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self._known:
            self._known.add(key)
            self.live += size
            self.peak = max(self.peak, self.live)
            weakref.finalize(storage, self._drop, key, size)

    def _drop(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.live -= size


def plan_memory(stage: Stage, shape: StepShape, execution: Execution) -> Memory:
    """The memory of a training step on one device.

    Args:
        stage: not configured yet.
        shape: of the batch.
        execution: how the step is taken.
    """
    with torch.device("meta"):
        stage.configure_model()
    model, pieces = stage.model, execution.pieces
    packed = packed_weights(model)
    trained_names = {name for name, _ in stage.trained_parameters()}
    weights: Counter[str] = Counter()
    for name, parameter in model.named_parameters():
        state = "trained" if name in trained_names else "frozen"
        size = round(parameter.numel() * PACKED_BYTES) if name in packed else _piece(parameter, pieces)
        weights[f"{model.part_of(name)}, {state}"] += size
    trained = sum(_piece(parameter, pieces) for _, parameter in stage.trained_parameters())
    gradients = sum(_piece(parameter, pieces) for parameter in model.parameters() if parameter.requires_grad)
    unpacked = max((model.get_parameter(name).numel() * 2 for name in packed), default=0)  # one matrix at a time, in bfloat16
    if pieces == 1:
        peaks = _step_peaks(model, shape, execution)
        buckets = gradients if execution.has_buckets else 0
        working = max(peaks.forward, peaks.backward) + unpacked
        return Memory(dict(weights), 2 * trained, max(working, peaks.updating) + buckets)
    gathered = _gathered_bytes(model, packed, execution.compute_dtype)
    peaks = _step_peaks(model, shape, execution)
    return Memory(dict(weights), 2 * trained, gathered.most_with(peaks, gradients, unpacked))


def _piece(parameter: Tensor, pieces: int) -> int:
    """Bytes of the first of the pieces that a tensor is cut into along its first dimension."""
    rows, *_ = parameter.shape or (1,)
    return parameter.nbytes // max(1, rows) * ceil(rows / pieces)


def packed_weights(model: VisualLanguageModel) -> set[str]:
    """Names of the weights that are held in 4 bits: those of linear layers, but for the head, adapters and LoRA."""
    return {f"{name}.weight" for name, _ in _packed_layers(model)}


def _packed_layers(model: VisualLanguageModel) -> list[tuple[str, nn.Linear]]:
    if not model.language.is_4bit:
        return []
    head = model.language.model.get_output_embeddings()
    return [
        (f"language.model.{name}", module)
        for name, module in model.language.model.named_modules()
        if isinstance(module, nn.Linear) and module is not head and not OWN.search(f"{name}.weight")
    ]


class _Gathered(NamedTuple):
    """Bytes that a device holds beside its pieces of a model, for a time.

    Args:
        root: of the group that stays gathered from the beginning of a step to its end.
        tower: of the vision tower's group, gathered before the language model works.
        layer: of the largest layer of the language model, or of the tower, if it has gradients.
        root_gradients, layer_gradients: of those groups, whole, before each process keeps its sum of a piece.
    """

    root: int
    tower: int
    layer: int
    root_gradients: int
    layer_gradients: int

    def most_with(self, peaks: "_Peaks", gradients: int, unpacked: int) -> int:
        """The most at a time, the step's own bytes included.

        Args:
            peaks: of a step that finds all of its weights gathered.
            gradients: this device's pieces of them.
            unpacked: what a layer in 4 bits needs for a moment.
        """
        # A group is gathered into one buffer, and copied from there. In the forward pass the buffer stays until the next group
        # is copied; in the backward pass the next one's is filled meanwhile.
        return self.root + max(
            2 * (self.tower or self.layer) + max(self.root + gradients, peaks.looking),
            3 * self.layer + peaks.entering,
            2 * self.layer + peaks.forward + unpacked,
            2 * self.layer + self.layer_gradients + peaks.backward + unpacked,
            self.root_gradients + gradients,
        )


def _gathered_bytes(model: VisualLanguageModel, packed: set[str], dtype: torch.dtype | None) -> _Gathered:
    """Bytes of a model's groups (`sharding_groups`) where they are whole."""
    known = {id(model.get_parameter(name)) for name in packed}
    sizes: dict[nn.Module, tuple[int, int]] = {}
    for group in sharding_groups(model):  # the model itself, which has the rest, is the last
        own = [parameter for parameter in group.parameters() if id(parameter) not in known]
        known.update(map(id, own))
        learning = sum(parameter.numel() for parameter in own if parameter.requires_grad)
        sizes[group] = (
            sum(parameter.numel() * (dtype or parameter.dtype).itemsize for parameter in own),
            learning * ((dtype or torch.float32).itemsize + torch.float32.itemsize),  # as they come, and as they are summed
        )
    root, root_gradients = sizes.pop(model)
    tower, tower_gradients = sizes.pop(model.vision, (0, 0)) if model.vision is not None else (0, 0)
    working = [*sizes.values(), *([(tower, tower_gradients)] if tower_gradients else [])]
    layers, gradients = zip(*working, strict=True)
    return _Gathered(root, tower, max(layers), root_gradients, max(gradients))


class _Peaks(NamedTuple):
    """The most bytes alive at times of a step but the first, without weights and moments, gradients included.

    Args:
        looking: until the vision tower has looked; 0 without one.
        entering: where a layer of the language model begins, on the way forward.
        forward, backward: in these passes.
        updating: while the optimizer works.
    """

    looking: int
    entering: int
    forward: int
    backward: int
    updating: int


def _step_peaks(model: VisualLanguageModel, shape: StepShape, execution: Execution) -> _Peaks:
    """What a step takes, of a model in pieces with all of them gathered."""
    in_pieces = execution.pieces > 1
    with FakeTensorMode(), torch.compiler.set_stance("force_eager"):
        _fill(model, execution.compute_dtype)
        for name, layer in _packed_layers(model):
            model.set_submodule(name, _PackedLinear(layer))
        trained = [parameter for _, parameter in model.trained_parameters()]
        optimizer = torch.optim.AdamW(trained, foreach=execution.on_gpu and not in_pieces)
        counted, looking, entering = LiveBytes(), [0], [0]
        counted.ignore([*model.parameters(), *model.buffers()])
        if model.vision is not None:
            model.vision.register_forward_hook(lambda *_: looking.append(counted.peak))
        for each in model.language.layers():
            each.register_forward_pre_hook(lambda *_: entering.append(counted.live))
        model.train()
        pieces = _Pieces(execution.pieces)
        if in_pieces:
            *cut, _ = sharding_groups(model)  # gradients of the last one, the model itself, are whole until the step ends
            for group in cut:
                pieces.cut_gradients(group)
        with counted:
            for parameter in trained:  # of the step before, or of micro-batches before
                if in_pieces:
                    pieces.keep(parameter)
                else:
                    parameter.grad = torch.zeros_like(parameter)
            pixels_ICHW = _pixels(model, shape)  # of the batch, which is there until the step is over
            with torch.autocast("cpu", torch.bfloat16) if execution.autocast else nullcontext():
                loss = token_losses(_predict(model, pixels_ICHW, shape)).sum()
            passed = max(looking), max(entering), counted.peak
            if not execution.accumulates:
                optimizer.zero_grad()  # behind the forward pass, as Lightning does
                pieces.clear()
            counted.peak = counted.live
            loss.backward()
            del loss
            model.drop_frozen_gradients()
        moments = 8 * sum(parameter.numel() for parameter in trained)
        backward, counted.peak = counted.peak, 0
        with counted:
            optimizer.step()
    return _Peaks(*passed, backward, counted.peak - moments)


class _Pieces:
    """A device's pieces of the gradients of a model in pieces.

    Args:
        count: into which a gradient is cut.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._kept: dict[Tensor, Tensor] = {}

    def cut_gradients(self, group: nn.Module) -> None:
        """Keep no more than a piece of each gradient of a group, as soon as it is there."""
        for parameter in group.parameters():
            if parameter.requires_grad:
                parameter.register_post_accumulate_grad_hook(self.keep)

    def keep(self, parameter: Tensor) -> None:
        """A piece in float32, in the place of the gradient."""
        self._kept[parameter] = torch.empty(_piece(parameter, self.count) // parameter.itemsize)
        parameter.grad = None

    def clear(self) -> None:
        """Drop them."""
        self._kept.clear()


class _PackedLinear(nn.Module):
    """Works as a layer in 4 bits does: in bfloat16, whatever type it is given and gives back.

    Args:
        linear: not packed.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x.bfloat16(), self.weight, self.bias).to(x.dtype)


def _fill(model: nn.Module, dtype: torch.dtype | None) -> None:
    """Put tensors with a device in the place of those without; what is shared stays shared.

    Args:
        model: on the meta device.
        dtype: of parameters, if not their own.
    """
    known: dict[int, Any] = {}

    def filled(tensor: Tensor) -> Any:
        if id(tensor) not in known:
            if isinstance(tensor, nn.Parameter):
                empty = torch.empty(tensor.shape, dtype=dtype or tensor.dtype)
                known[id(tensor)] = nn.Parameter(empty, tensor.requires_grad)
            else:
                known[id(tensor)] = torch.empty(tensor.shape, dtype=tensor.dtype)
        return known[id(tensor)]

    for module in model.modules():
        for tensors in (module._parameters, module._buffers):
            tensors.update({name: filled(tensor) for name, tensor in tensors.items() if tensor is not None})


def _pixels(model: VisualLanguageModel, shape: StepShape) -> Tensor:
    """The pictures of a batch; one without any is shown a dummy."""
    side = model.vision.image_size if model.vision is not None else 0
    return torch.zeros(max(1, shape.images), 3, side, side, dtype=shape.pixels_dtype)


def _predict(model: VisualLanguageModel, pixels_ICHW: Tensor, shape: StepShape) -> TokenPredictions:
    """What `VisualLanguageModel.forward` does, without looking at the content of the batch."""
    language = model.language
    embeddings_BTD, image_tokens = _fused(model, pixels_ICHW, shape)
    language.route_rows(torch.zeros(len(shape.rows), dtype=torch.long))
    lengths = [row.text_tokens + row.images * image_tokens for row in shape.rows]
    logits_MV = _logits(language, embeddings_BTD, lengths, shape)
    supervised_M = torch.zeros(shape.supervised_tokens, dtype=torch.long)
    return TokenPredictions(logits_MV, supervised_M, supervised_M)


def _fused(model: VisualLanguageModel, pixels_ICHW: Tensor, shape: StepShape) -> tuple[Tensor, int]:
    """Rows of embeddings (B, T, D), and the tokens of an image."""
    language = model.language
    rows, columns = len(shape.rows), max(row.text_tokens + row.images for row in shape.rows)
    text_BTD = language.embed(torch.zeros(rows, columns, dtype=torch.long))
    vectors = [text_BTD.reshape(-1, language.width)]
    image_tokens = 0
    if model.vision is not None:
        features_LIPV = model.vision(pixels_ICHW)
        question_ids_BS = torch.zeros(rows, shape.question_tokens, dtype=torch.long)
        pair_row_N = torch.tensor([number for number, row in enumerate(shape.rows) for _ in range(row.images)] or [0])
        given = features_LIPV, pair_row_N, torch.zeros_like(pair_row_N), question_ids_BS, question_ids_BS.bool()
        tokens_NQD = torch.cat([bridge(*given) for bridge in model.bridges.values()], dim=1)
        vectors.append(tokens_NQD.reshape(-1, language.width).to(text_BTD.dtype))
        image_tokens = tokens_NQD.shape[1]
    if model.regions is not None:
        features_GF = torch.zeros(max(1, shape.regions), model.regions.feature_width)
        tokens_GRD = model.regions.tokens_of(features_GF, torch.zeros(len(features_GF), 4))
        vectors.append(tokens_GRD.reshape(-1, language.width).to(text_BTD.dtype))
    if model.soft_prompt is not None:
        vectors.append(model.soft_prompt()[None].to(text_BTD.dtype))
    longest = max(row.text_tokens + row.images * image_tokens for row in shape.rows)
    return torch.cat(vectors)[torch.zeros(rows, longest, dtype=torch.long)], image_tokens


def _logits(language: Any, embeddings_BTD: Tensor, lengths: Sequence[int], shape: StepShape) -> Tensor:
    """Scores (M, V) of the supervised tokens of rows that have so many tokens."""
    rows, length, _ = embeddings_BTD.shape
    first_M = torch.zeros(shape.supervised_tokens, dtype=torch.long)
    if language.unpadded:
        hidden_D = _read_unpadded(language, embeddings_BTD, lengths, shape)
        return language.logits(hidden_D, first_M)
    answer_tokens = max(row.answer_tokens for row in shape.rows)
    if language.seq2seq:
        read = length - answer_tokens
        logits_BAV = language.model(
            inputs_embeds=embeddings_BTD[:, :read],
            attention_mask=torch.zeros(rows, 1, 1, read, dtype=embeddings_BTD.dtype),
            decoder_input_ids=torch.zeros(rows, answer_tokens, dtype=torch.long),
            use_cache=False,
        ).logits
        return logits_BAV.flatten(0, 1)[first_M]
    hidden_BTD = language.model.base_model(
        inputs_embeds=embeddings_BTD,
        attention_mask=torch.zeros(rows, 1, length, length, dtype=torch.bool),
        position_ids=torch.zeros(rows, length, dtype=torch.long),
        use_cache=False,
    ).last_hidden_state
    return language.logits(hidden_BTD.flatten(0, 1), first_M)


def _read_unpadded(language: Any, embeddings_BTD: Tensor, lengths: Sequence[int], shape: StepShape) -> Tensor:
    """The states that a language model's head would work on, of rows that have so many tokens."""
    answer_lengths = [max(1, row.answer_tokens) for row in shape.rows]
    if language.seq2seq:
        read_lengths = [max(1, length - row.answer_tokens) for length, row in zip(lengths, shape.rows, strict=True)]
        language.route.spans, language.answer_route.spans = [Span(0, sum(read_lengths))], [Span(0, sum(answer_lengths))]
        embeddings_ED = embeddings_BTD.flatten(0, 1)[torch.zeros(sum(read_lengths), dtype=torch.long)]
        encoded_ED = unpadded_t5.encode(language.model, embeddings_ED, read_lengths)
        answers_A = torch.zeros(sum(answer_lengths), dtype=torch.long)
        return unpadded_t5.decode(language.model, answers_A, answer_lengths, encoded_ED, read_lengths)
    begun, own_lengths = shape.prefixes * shape.prefix_tokens, [max(1, each - shape.prefix_tokens) for each in lengths]
    language.route.spans = [Span(0, begun + sum(own_lengths))]
    first_E = torch.zeros(begun + sum(own_lengths), dtype=torch.long)
    embeddings_ED = embeddings_BTD.flatten(0, 1)[first_E]
    groups = [
        unpadded_causal.Group(first_E[: len(group)], torch.zeros(len(group), own_lengths[group[0]], dtype=torch.long))
        for group in unpadded_causal.alike(own_lengths)
    ]
    placed = unpadded_causal.RowsBehindPrefixes(shape.prefix_tokens, shape.prefixes, groups, first_E[: sum(own_lengths)])
    return unpadded_causal.read(language.model.base_model, embeddings_ED, first_E, placed)
