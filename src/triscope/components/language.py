"""Language models of Hugging Face, T5-like (seq2seq) or Llama-like (causal), with adapters in every feed-forward."""

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import (
    AutoTokenizer,
    LogitsProcessorList,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    RepetitionPenaltyLogitsProcessor,
)
from transformers.generation.streamers import BaseStreamer

from triscope.components import unpadded_causal, unpadded_t5
from triscope.components.adapters import AdaptedFeedForward, AdapterMixture, Route
from triscope.components.language_loading import (
    AttentionImplementation,
    Precision,
    configuration_of,
    has_no_weights,
    pretrained_model,
    random_model,
)
from triscope.components.lora import LoraOptions, add_lora
from triscope.components.unpadded_causal import SharedPrefix
from triscope.packaged import resolve

IGNORED_LABEL = -100


class TokenPredictions(NamedTuple):
    """Predictions of the M supervised tokens of a batch, and of no other (a named tuple, as FSDP2 looks inside those).

    Args:
        logits_MV: scores of all V words of the vocabulary.
        targets_M: the true token ids.
        row_M: the row of each token.
    """

    logits_MV: Tensor
    targets_M: Tensor
    row_M: Tensor


class LanguageModel(nn.Module):
    """A frozen language model that reads embeddings, with trainable adapters routed by row.

    All weights of the language model are frozen here and the adapters are not; a stage may decide otherwise by name.

    Args:
        path: a Hugging Face folder, the name of a model on the hub, or "packaged:NAME" (`triscope.packaged`).
        random_weights: start from random weights though `path` has some. A folder with nothing but `config.json` does
            in any case, and so does what is built on the meta device, which costs nothing at any size.
        dtype: precision of the language model's weights; "auto" is bfloat16 where this machine is fast at it, else
            float32; "nf4" holds them in 4 bits and computes in bfloat16. Adapters are always float32.
        adapter_bottleneck: inner width of the adapters; None for a language model without adapters.
        levels: names of the adapters in each feed-forward layer; see `AdapterMixture`.
        config_overrides: fields of the model's configuration to change, such as `dense_act_fn: gelu` for the exact GELU
            that LION runs FlanT5 with.
        attention: "auto" is "sdpa" but for bfloat16 on a CPU (see `language_loading`).
        unpadded: in training, let rows be read one behind the other, without padding (`unpadded_t5`, `unpadded_causal`), where
            the architecture can. The same numbers.
        logits_at_labels: let the head work where a supervised token is predicted, and nowhere else. The same numbers without:
            of a causal model it then works at every position. A decoder reads answers alone, with or without.
        activation_checkpointing: recompute each layer in the backward pass instead of storing its activations.
        lora: low-rank adaptations of the language model's matrices, which every stage trains; None for none.

    Attributes:
        width: D, of an embedding.
        seq2seq: True for encoder-decoder models.
        random_weights: True if no weights were read.
        is_4bit: True if the weights of its layers are packed into 4 bits (on the meta device: would be).
        route, answer_route: the levels of the rows that are in the model now; the second in the decoder of a seq2seq model.

    Raises:
        ValueError: a field of `config_overrides` that the configuration does not have, an architecture whose
            feed-forward layers are not found, or 4 bits of a folder without weights, unless `random_weights` are asked for.
    """

    def __init__(
        self,
        path: str,
        random_weights: bool = False,
        dtype: Precision = "float32",
        adapter_bottleneck: int | None = 64,
        levels: Sequence[str] = ("region", "image"),
        config_overrides: dict[str, Any] | None = None,
        attention: AttentionImplementation = "auto",
        unpadded: bool = True,
        logits_at_labels: bool = True,
        activation_checkpointing: bool = False,
        lora: LoraOptions | None = None,
    ) -> None:
        super().__init__()
        self._path = resolve(path)
        config = configuration_of(self._path, config_overrides or {})
        self.seq2seq: bool = config.is_encoder_decoder
        self.random_weights = random_weights or has_no_weights(Path(self._path)) or torch.empty(0).is_meta
        self.is_4bit = dtype == "nf4"
        self.model: Any  # as PreTrainedModel has no `generate`
        if self.random_weights:
            self.model = random_model(self._path, config, dtype, attention, asked_for=random_weights)
        else:
            self.model = pretrained_model(self._path, config, dtype, attention)
        self.model.requires_grad_(False)
        self.model.train()  # read weights come in evaluation mode, in which no layer is recomputed nor dropped from
        self.width: int = config.hidden_size
        if lora is not None:
            add_lora(self.model, lora)
        way = unpadded_t5 if self.seq2seq else unpadded_causal
        self.logits_at_labels = logits_at_labels
        self.unpadded = unpadded and way.can_read_unpadded(self.model)
        if self.unpadded:
            way.prepare(self.model)
        self.route, self.answer_route = Route(), Route()
        if adapter_bottleneck is not None:
            for name in _feed_forward_names(self.model):
                mixture = AdapterMixture(self.width, levels, adapter_bottleneck)
                original = self.model.get_submodule(name)
                route = self.answer_route if self.seq2seq and name.startswith("decoder.") else self.route
                self.model.set_submodule(name, AdaptedFeedForward(original, mixture, route))
        if activation_checkpointing:
            # Renamed in transformers 5.23, where the older name warns.
            name = "activation_checkpointing_enable"
            enable = getattr(self.model, name, None) or self.model.gradient_checkpointing_enable
            enable({"use_reentrant": False})

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The language model's tokenizer, read when it is first asked for."""
        return self.load_tokenizer(self._path)

    @staticmethod
    def load_tokenizer(path: str) -> PreTrainedTokenizerBase:
        """The tokenizer of a Hugging Face folder, hub name, or "packaged:NAME"."""
        return AutoTokenizer.from_pretrained(resolve(path))

    def embed(self, ids: Tensor) -> Tensor:
        """Input embeddings of token ids of any shape: one more dimension, D."""
        return self.model.get_input_embeddings()(ids)

    def mean_embedding(self) -> Tensor:
        """The mean of all words' input embeddings (D,) in float32: where a new word begins."""
        return self.model.get_input_embeddings().weight.detach().float().mean(0)

    def forward(
        self,
        embeddings_BTD: Tensor,
        valid_BT: Tensor,
        labels_BT: Tensor,
        level_B: Tensor,
        shared_prefix: SharedPrefix | None = None,
    ) -> TokenPredictions:
        """Predict every supervised token of each row from what stands before it.

        A seq2seq model reads with its encoder what is not supervised and writes the supervised tokens, which must be
        the tail of the row, with its decoder. A causal model reads the row as it stands. Padding may be on either side.

        Args:
            embeddings_BTD: rows of text and feature embeddings.
            valid_BT: True where there is a token.
            labels_BT: the id of the token at this position if it is supervised, else -100.
            level_B: number of each row's level, which picks its adapters.
            shared_prefix: first tokens that several rows of a level have in common, which a causal model then reads once, if it
                reads without padding. The predictions are the same.

        Returns:
            Predictions in row order. The first token of a row has nothing before it: a causal model skips it.

        Raises:
            ValueError: seq2seq only, a row that goes on behind its supervised tokens.
        """
        self.route_rows(level_B)
        if self.seq2seq:
            return self._predict_seq2seq(embeddings_BTD, valid_BT, labels_BT, level_B)
        if self.unpadded:
            return self._predict_unpadded_causal(embeddings_BTD, valid_BT, labels_BT, level_B, shared_prefix)
        return self._predict_causal(embeddings_BTD, valid_BT, labels_BT)

    @torch.no_grad()
    def generate(
        self,
        embeddings_BTD: Tensor,
        valid_BT: Tensor,
        level_B: Tensor,
        max_new_tokens: int = 64,
        beams: int = 1,
        repetition_penalty: float = 1.0,
        length_penalty: float = 1.0,
        on_token: Callable[[int], None] | None = None,
    ) -> list[list[int]]:
        """Continue each row by the likeliest tokens. Put the model in evaluation mode first.

        Args:
            embeddings_BTD: rows of text and feature embeddings; for a causal model padded before the row, if at all.
            valid_BT: True where there is a token.
            level_B: number of each row's level.
            max_new_tokens: tokens to write at most, the end token included.
            beams: hypotheses of the beam search; 1 is greedy.
            repetition_penalty: divides the score of tokens already written; the prompt does not count.
            length_penalty: exponent of the length by which the score of a hypothesis is divided.
            on_token: called with every token as soon as it is written, end and padding left out; of one row, without beams.

        Returns:
            Token ids of each row up to its end token, without start, end and padding.

        Raises:
            ValueError: a causal model was given a row that ends in padding; `on_token` for several rows or beams.
        """
        if not self.seq2seq and not bool(valid_BT[:, -1].all()):
            row = int((~valid_BT[:, -1]).nonzero()[0])
            raise ValueError(
                f"generate: found padding at the end of row {row}; expected every row of a causal model to end with "
                "its last token. Pad before the row (`fuse(..., align_right=True)`)."
            )
        if on_token is not None and (len(embeddings_BTD) != 1 or beams != 1):
            raise ValueError(
                f"generate: found {len(embeddings_BTD)} row(s) and {beams} beam(s); expected one of each to tell tokens as "
                "they are written. Ask one question at a time, with beams: 1."
            )
        self.route_rows(level_B)
        defaults = self.model.generation_config
        ends = defaults.eos_token_id if isinstance(defaults.eos_token_id, list) else [defaults.eos_token_id]
        padding = defaults.pad_token_id if defaults.pad_token_id is not None else ends[0]
        written_BA = self.model.generate(
            inputs_embeds=embeddings_BTD,
            attention_mask=valid_BT.long(),
            max_new_tokens=max_new_tokens,
            num_beams=beams,
            do_sample=False,
            # Not by its name: of a row that is padded, transformers would spare as many written tokens as there is padding.
            logits_processor=LogitsProcessorList(
                [RepetitionPenaltyLogitsProcessor(repetition_penalty)] if repetition_penalty != 1.0 else []
            ),
            length_penalty=length_penalty,
            pad_token_id=padding,
            streamer=None if on_token is None else _TokenStream(on_token, {*ends, padding}, skipped=int(self.seq2seq)),
        )
        first = 1 if self.seq2seq else 0  # a decoder's rows begin with the start token
        return [_until(ids[first:], {*ends, padding}) for ids in written_BA.tolist()]

    def logits(self, hidden_XD: Tensor, place_M: Tensor | tuple[Tensor, Tensor]) -> Tensor:
        """Scores (M, V) of all words at some places.

        Args:
            hidden_XD: states of the last layer: of tokens one behind the other, or of rows (B, T, D).
            place_M: which of them; of rows two tensors, row and column.
        """
        head = self.model.get_output_embeddings()
        return head(hidden_XD[place_M]) if self.logits_at_labels else head(hidden_XD)[place_M]

    def route_rows(self, level_B: Tensor) -> None:
        """Let the adapters know the levels of the rows that come next, each a row of its own."""
        self.route.set(level_B)
        self.answer_route.set(level_B)

    def layers(self) -> list[nn.Module]:
        """The transformer layers: what is sharded and recomputed one by one."""
        names = set(self.model._no_split_modules)
        # A layer that is sharded has a class of its own, under that of the layer.
        return [each for each in self.model.modules() if names & {kind.__name__ for kind in type(each).__mro__}]

    def keep_levels(self, levels: Sequence[str]) -> None:
        """Reduce every mixture of adapters to the named levels (see `AdapterMixture.keep_levels`)."""
        for module in self.modules():
            if isinstance(module, AdapterMixture):
                module.keep_levels(levels)

    def _predict_causal(self, embeddings_BTD: Tensor, valid_BT: Tensor, labels_BT: Tensor) -> TokenPredictions:
        hidden_BTD = self.model.base_model(
            inputs_embeds=embeddings_BTD,
            attention_mask=valid_BT.long(),
            position_ids=(valid_BT.cumsum(1) - 1).clamp(min=0),  # of the row, wherever its padding is
            use_cache=False,
        ).last_hidden_state
        row_M, column_M = _before_supervised(valid_BT, labels_BT)
        return TokenPredictions(self.logits(hidden_BTD, (row_M, column_M)), labels_BT[row_M, column_M + 1], row_M)

    def _predict_unpadded_causal(
        self, embeddings_BTD: Tensor, valid_BT: Tensor, labels_BT: Tensor, level_B: Tensor, prefix: SharedPrefix | None
    ) -> TokenPredictions:
        compact = unpadded_causal.without_padding(embeddings_BTD, valid_BT, level_B, prefix)
        self.route.set(compact.level_C, compact.lengths)
        hidden_ED = unpadded_causal.read(self.model.base_model, compact.embeddings_ED, compact.position_E, compact.rows)
        row_M, column_M = _before_supervised(valid_BT, labels_BT)
        logits_MV = self.logits(hidden_ED, compact.place_BT[row_M, column_M])
        return TokenPredictions(logits_MV, labels_BT[row_M, column_M + 1], row_M)

    def _predict_seq2seq(self, embeddings_BTD: Tensor, valid_BT: Tensor, labels_BT: Tensor, level_B: Tensor) -> TokenPredictions:
        supervised_BT = labels_BT != IGNORED_LABEL
        read_BT = valid_BT & ~supervised_BT
        behind_B = (read_BT & (supervised_BT.cumsum(1) > 0)).any(1)
        if bool(behind_B.any()):
            raise ValueError(
                f"seq2seq: found tokens to read behind the supervised ones in row {int(behind_B.nonzero()[0])}; "
                "expected the answer to end the row. Supervise the last answer of a conversation only."
            )
        if self.unpadded:
            return self._predict_unpadded_seq2seq(embeddings_BTD, read_BT, labels_BT, level_B)
        # What is read is one stretch of a row, so a column that no row reads lies outside and can go.
        read_columns = read_BT.any(0)
        answer_lengths_B = supervised_BT.sum(1)
        longest = max(int(answer_lengths_B.max()), 1)  # the decoder runs in any case: other ranks may wait for it
        is_answer_BA = torch.arange(longest, device=labels_BT.device) < answer_lengths_B[:, None]
        answers_BA = labels_BT.new_full(is_answer_BA.shape, IGNORED_LABEL)
        answers_BA[is_answer_BA] = labels_BT[supervised_BT]
        # The whole model with its head: decoder rows are answers, and T5's rule for scaling tied heads stays its own.
        logits_BAV = self.model(
            inputs_embeds=embeddings_BTD[:, read_columns],
            attention_mask=read_BT[:, read_columns].long(),
            decoder_input_ids=self.model.prepare_decoder_input_ids_from_labels(answers_BA),
            use_cache=False,
        ).logits
        return TokenPredictions(logits_BAV[is_answer_BA], labels_BT[supervised_BT], is_answer_BA.nonzero()[:, 0])

    def _predict_unpadded_seq2seq(
        self, embeddings_BTD: Tensor, read_BT: Tensor, labels_BT: Tensor, level_B: Tensor
    ) -> TokenPredictions:
        order_B = level_B.argsort(stable=True)  # rows of a level side by side
        read_BT, labels_BT = read_BT[order_B], labels_BT[order_B]
        supervised_BT = labels_BT != IGNORED_LABEL
        # A row without an answer gets one token of it, which nobody looks at: the decoder runs in any case, as other ranks
        # may wait for it.
        answer_lengths_B = supervised_BT.sum(1)
        lengths, answer_lengths = read_BT.sum(1).tolist(), answer_lengths_B.clamp(min=1).tolist()
        row_A = torch.arange(len(labels_BT), device=labels_BT.device).repeat_interleave(answer_lengths_B.clamp(min=1))
        is_answer_A = answer_lengths_B[row_A] > 0
        ids_A = labels_BT.new_zeros(len(row_A))
        ids_A[is_answer_A] = labels_BT[supervised_BT]
        self.route.set(level_B[order_B], lengths)
        self.answer_route.set(level_B[order_B], answer_lengths)

        encoded_ED = unpadded_t5.encode(self.model, embeddings_BTD[order_B][read_BT], lengths)
        hidden_AD = unpadded_t5.decode(self.model, ids_A, answer_lengths, encoded_ED, lengths)

        in_row_order_M = order_B[row_A[is_answer_A]].argsort(stable=True)
        taken_M = is_answer_A.nonzero()[:, 0][in_row_order_M]
        return TokenPredictions(self.logits(hidden_AD, taken_M), ids_A[taken_M], order_B[row_A[taken_M]])


class _TokenStream(BaseStreamer):
    """Hands on the tokens of one row; transformers first puts what the decoder starts with, which may be nothing."""

    def __init__(self, on_token: Callable[[int], None], ends: set[int], skipped: int) -> None:
        self.on_token = on_token
        self.ends = ends
        self.skipped = skipped
        self.has_ended = False

    def put(self, value: Tensor) -> None:
        """Called with the start, then with every token."""
        for token in value.flatten().tolist():
            if self.skipped:
                self.skipped -= 1
                continue
            self.has_ended |= token in self.ends
            if not self.has_ended:
                self.on_token(token)

    def end(self) -> None:
        """Called behind the last."""


def _feed_forward_names(model: PreTrainedModel) -> list[str]:
    """Names of the feed-forward layers: T5's sub-layer with norm and residual sum, Llama's `mlp`."""
    if model.config.is_encoder_decoder:
        names = [name for name, module in model.named_modules() if hasattr(module, "DenseReluDense")]
    else:
        names = [name for name, _ in model.named_modules() if name.endswith(".mlp")]
    if not names:
        raise ValueError(
            f"adapters: found no feed-forward layer in {type(model).__name__}; expected T5's `DenseReluDense` or "
            "Llama's `mlp`. Use a model of these kinds, or set adapter_bottleneck to null."
        )
    return names


def _before_supervised(valid_BT: Tensor, labels_BT: Tensor) -> tuple[Tensor, Tensor]:
    """Rows and columns of the tokens from which the supervised ones behind them are predicted, in row order."""
    place_M2 = ((labels_BT[:, 1:] != IGNORED_LABEL) & valid_BT[:, :-1]).nonzero()
    return place_M2[:, 0], place_M2[:, 1]


def _until(ids: list[int], ends: set[int]) -> list[int]:
    """The ids before the first end."""
    return ids[: next((place for place, token in enumerate(ids) if token in ends), len(ids))]
