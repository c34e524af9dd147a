"""The memory of a training step before it is taken.

The model is built without content, and one step of a batch is run on tensors that have a shape and no content either: what
is alive at a time is counted, not estimated. Not counted: what a GPU's driver takes (about half a GiB), what memory loses to
fragments, and what a region encoder's own tower holds while it looks at pictures.
"""

import re
import weakref
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

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
from triscope.model import VisualLanguageModel
from triscope.stages import Stage
from triscope.stages.losses import token_losses

OWN = re.compile(r"\.(?:adapters|lora_\w+)\.")  # in the names of what stands beside the language model's own matrices
PACKED_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)  # a weight in NF4 with double quantisation, its scales included


@dataclass(frozen=True)
class StepShape:
    """The sizes of a batch that its memory depends on.

    Args:
        rows: B.
        images: I.
        pairs: N, of a row and an image.
        images_per_row: at most.
        text_tokens: of the longest row, without those of images.
        answer_tokens: supervised, of the longest answer.
        supervised_tokens: of all rows.
        question_tokens: S.
        all_text_tokens: of all rows, without those of images.
        regions: G, shown as tokens.
        prefixes: U, of which rows share one each; 0 where they share none.
        prefix_tokens: of each.
    """

    rows: int
    images: int
    pairs: int
    images_per_row: int
    text_tokens: int
    answer_tokens: int
    supervised_tokens: int
    question_tokens: int
    all_text_tokens: int
    regions: int
    prefixes: int = 0
    prefix_tokens: int = 0

    @classmethod
    def of(cls, batch: Batch, prefix: SharedPrefix | None = None) -> "StepShape":
        """The sizes of a batch, of which a causal model reads what rows share once."""
        is_region_BT = batch.ids_BT == Placeholder.REGION
        text_BT = (batch.valid_BT & (batch.ids_BT != Placeholder.IMAGE)) * torch.where(is_region_BT, RegionEncoder.tokens, 1)
        answer_B = (batch.supervised_BT & batch.valid_BT).sum(1)
        return cls(
            rows=len(batch),
            images=max(1, len(batch.pixels_ICHW)),
            pairs=max(1, len(batch.pair_row_N)),
            images_per_row=max(1, int(torch.bincount(batch.pair_row_N, minlength=1).max())),
            text_tokens=int(text_BT.sum(1).max()),
            answer_tokens=int(answer_B.max()),
            supervised_tokens=int(answer_B.sum()),
            question_tokens=batch.question_ids_BS.shape[1],
            all_text_tokens=int(text_BT.sum()),
            regions=len(batch.region_row_G),
            prefixes=len(prefix.row_U) if prefix else 0,
            prefix_tokens=prefix.length if prefix else 0,
        )

    @classmethod
    def full(cls, style: PromptStyle, rows: int, images: int) -> "StepShape":
        """A batch whose prompts and answers are as long as they may be."""
        return cls(
            rows=rows,
            images=images,
            pairs=rows,
            images_per_row=1,
            text_tokens=style.max_prompt_tokens + style.max_answer_tokens,
            answer_tokens=style.max_answer_tokens,
            supervised_tokens=rows * style.max_answer_tokens,
            question_tokens=style.max_question_tokens,
            all_text_tokens=rows * (style.max_prompt_tokens + style.max_answer_tokens),
            regions=rows,
        )


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


def plan_memory(stage: Stage, shape: StepShape, autocast: bool) -> Memory:
    """The memory of a training step.

    Args:
        stage: not configured yet.
        shape: of the batch.
        autocast: whether it runs in bfloat16 autocast.
    """
    with torch.device("meta"):
        stage.configure_model()
    weights: Counter[str] = Counter()
    for name, parameter in stage.model.named_parameters():
        state = "trained" if parameter.requires_grad else "frozen"
        weights[f"{stage.model.part_of(name)}, {state}"] += _bytes_of(stage.model, name, parameter)
    trained = sum(parameter.numel() * parameter.element_size() for _, parameter in stage.trained_parameters())
    return Memory(dict(weights), 2 * trained, _step_bytes(stage.model, shape, autocast))


def _bytes_of(model: VisualLanguageModel, name: str, parameter: Tensor) -> int:
    size = PACKED_BYTES if name in packed_weights(model) else parameter.element_size()
    return round(parameter.numel() * size)


def packed_weights(model: VisualLanguageModel) -> set[str]:
    """Names of the weights that are held in 4 bits: those of linear layers, but for the head, adapters and LoRA."""
    if not model.language.is_4bit:
        return set()
    head = model.language.model.get_output_embeddings()
    return {
        f"language.model.{name}.weight"
        for name, module in model.language.model.named_modules()
        if isinstance(module, nn.Linear) and module is not head and not OWN.search(name)
    }


def _step_bytes(model: VisualLanguageModel, shape: StepShape, autocast: bool) -> int:
    """The peak of a step of training, without weights and moments."""
    packed = [parameter for name, parameter in model.named_parameters() if name in packed_weights(model)]
    unpacked = max((parameter.numel() * 2 for parameter in packed), default=0)  # one matrix at a time, in bfloat16
    with FakeTensorMode() as fake, torch.compiler.set_stance("force_eager"):
        _fill(model, fake)
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(trained)
        counted = LiveBytes()
        counted.ignore([*model.parameters(), *model.buffers()])
        model.train()
        with counted:
            with torch.autocast("cpu", torch.bfloat16) if autocast else nullcontext():
                loss = token_losses(_predict(model, shape)).sum()
            loss.backward()
            del loss
        moments = 8 * sum(parameter.numel() for parameter in trained)
        working, counted.peak = counted.peak, 0
        with counted:
            optimizer.step()
    return max(working + unpacked, counted.peak - moments)


def _fill(model: nn.Module, fake: FakeTensorMode) -> None:
    """Put tensors with a device in the place of those without; what is shared stays shared."""
    known: dict[int, Any] = {}

    def filled(tensor: Tensor) -> Any:
        if id(tensor) not in known:
            empty = torch.empty(tensor.shape, dtype=tensor.dtype)
            known[id(tensor)] = nn.Parameter(empty, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else empty
        return known[id(tensor)]

    for module in model.modules():
        for tensors in (module._parameters, module._buffers):
            tensors.update({name: filled(tensor) for name, tensor in tensors.items() if tensor is not None})


def _predict(model: VisualLanguageModel, shape: StepShape) -> TokenPredictions:
    """What `VisualLanguageModel.forward` does, without looking at the content of the batch."""
    language = model.language
    question_ids_BS = torch.zeros(shape.rows, shape.question_tokens, dtype=torch.long)
    rows = [row for row in range(shape.rows) for _ in range(shape.images_per_row)][: shape.pairs]
    pairs = torch.tensor(rows), torch.zeros(len(rows), dtype=torch.long)
    text_BTD = language.embed(torch.zeros(shape.rows, shape.text_tokens + shape.images_per_row, dtype=torch.long))
    vectors = [text_BTD.reshape(-1, language.width)]
    length = shape.text_tokens
    if model.vision is not None:
        pixels_ICHW = torch.zeros(shape.images, 3, model.vision.image_size, model.vision.image_size, dtype=torch.uint8)
        features_LIPV = model.vision(pixels_ICHW)
        question = question_ids_BS, question_ids_BS.bool()
        tokens_NQD = torch.cat([bridge(features_LIPV, *pairs, *question) for bridge in model.bridges.values()], dim=1)
        vectors.append(tokens_NQD.reshape(-1, language.width).to(text_BTD.dtype))
        length += shape.images_per_row * tokens_NQD.shape[1]
    if model.regions is not None:
        features_GF = torch.zeros(max(1, shape.regions), model.regions.feature_width)
        tokens_GRD = model.regions.tokens_of(features_GF, torch.zeros(len(features_GF), 4))
        vectors.append(tokens_GRD.reshape(-1, language.width).to(text_BTD.dtype))
    if model.soft_prompt is not None:
        vectors.append(model.soft_prompt()[None].to(text_BTD.dtype))
    source = torch.cat(vectors)
    embeddings_BTD = source[torch.zeros(shape.rows, length, dtype=torch.long)]
    language.route_rows(torch.zeros(shape.rows, dtype=torch.long))
    logits_MV = _logits(language, embeddings_BTD, shape)
    supervised_M = torch.zeros(shape.supervised_tokens, dtype=torch.long)
    return TokenPredictions(logits_MV, supervised_M, supervised_M)


def _logits(language: Any, embeddings_BTD: Tensor, shape: StepShape) -> Tensor:
    rows, length, _ = embeddings_BTD.shape
    first_M = torch.zeros(shape.supervised_tokens, dtype=torch.long)
    if language.unpadded:
        hidden_D = _read_unpadded(language, embeddings_BTD, shape)
        return language.model.get_output_embeddings()(hidden_D[first_M])
    if language.seq2seq:
        read = length - shape.answer_tokens
        logits_BAV = language.model(
            inputs_embeds=embeddings_BTD[:, :read],
            attention_mask=torch.zeros(rows, 1, 1, read, dtype=embeddings_BTD.dtype),
            decoder_input_ids=torch.zeros(rows, shape.answer_tokens, dtype=torch.long),
            use_cache=False,
        ).logits
        return logits_BAV.flatten(0, 1)[first_M]
    hidden_BTD = language.model.base_model(
        inputs_embeds=embeddings_BTD,
        attention_mask=torch.zeros(rows, 1, length, length, dtype=torch.bool),
        position_ids=torch.zeros(rows, length, dtype=torch.long),
        use_cache=False,
    ).last_hidden_state
    return language.model.get_output_embeddings()(hidden_BTD.flatten(0, 1)[first_M])


def _read_unpadded(language: Any, embeddings_BTD: Tensor, shape: StepShape) -> Tensor:
    """The states that a language model's head would work on, of rows of about the same length."""
    rows, length, _ = embeddings_BTD.shape
    image_tokens = (length - shape.text_tokens) // shape.images_per_row * shape.pairs
    answer_lengths = _evenly(max(rows, shape.supervised_tokens), rows)
    lengths = _evenly(shape.all_text_tokens + image_tokens - (shape.supervised_tokens if language.seq2seq else 0), rows)
    begun = shape.prefixes * shape.prefix_tokens
    own = sum(lengths) - rows * shape.prefix_tokens if begun else sum(lengths)
    language.route.spans, language.answer_route.spans = [Span(0, begun + own)], [Span(0, sum(answer_lengths))]
    first_E = torch.zeros(begun + own, dtype=torch.long)
    embeddings_ED = embeddings_BTD.flatten(0, 1)[first_E]
    if language.seq2seq:
        encoded_ED = unpadded_t5.encode(language.model, embeddings_ED, lengths)
        answers_A = torch.zeros(sum(answer_lengths), dtype=torch.long)
        return unpadded_t5.decode(language.model, answers_A, answer_lengths, encoded_ED, lengths)
    place_GR = torch.zeros(rows, -(-own // rows), dtype=torch.long)
    groups = [unpadded_causal.Group(first_E[:rows], place_GR)]
    placed = unpadded_causal.RowsBehindPrefixes(shape.prefix_tokens, shape.prefixes, groups, first_E[:own])
    return unpadded_causal.read(language.model.base_model, embeddings_ED, first_E, placed)


def _evenly(tokens: int, rows: int) -> list[int]:
    """So many tokens as rows of about the same length, each of one at least."""
    return [max(1, tokens // rows + (row < tokens % rows)) for row in range(rows)]
