"""The one model class: a system is a choice of parts.

LION   vision + bridges {qformer, aggregator} + soft prompt + language with adapters
PVIT   vision + bridges {linear} + region encoder + language
SAM    vision + bridges {qformer with alignment} + language
"""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor, nn

from triscope.components.bridge import Bridge
from triscope.components.candidates import log_likelihoods
from triscope.components.language import LanguageModel, TokenPredictions
from triscope.components.lora import MARK
from triscope.components.markers import Markers
from triscope.components.pixels import normalised
from triscope.components.regions import RegionEncoder
from triscope.components.soft_prompt import SoftPrompt
from triscope.components.unpadded_causal import SharedPrefix
from triscope.components.vision import VisionEncoder
from triscope.data.batch import LEVELS, Batch, Placeholder
from triscope.data.errors import ConfigurationError
from triscope.data.prompts import Tokenizers
from triscope.data.transforms import Normalisation
from triscope.fusion import Features, Fused, check_placeholders, fuse

DUMMY_SIDE = 32  # pixels; four cells of a region encoder's map
_ADAPTER = re.compile(r"\.mixture\.adapters\.(?P<level>\w+)\.")


class VisualLanguageModel(nn.Module):
    """A language model that reads text, images and learned vectors as one sequence.

    Args:
        language: builds the language model.
        vision: builds the vision encoder; None for a model of text alone.
        bridges: build the ways from vision features to tokens of language width, by name; the tokens of an image stand in
            this order. Called with the width of the vision encoder, that of the language model, and the patches an image.
        regions: builds the encoder of the boxes that prompts show as tokens; called like the bridges.
        soft_prompt: builds the learned vector that stands before image tags; called with the language model's width.
        question_tokenizer: path of the tokenizer whose ids the Q-Former reads; the language model's own if None.
        share_prefix: in training, let a causal language model read the image tokens that do not depend on the question
            once for all rows of an image and level. Needs the bridges that read no question to stand first, and `unpadded` in
            the language model.

    Attributes:
        frozen_gradients: parts whose weights have gradients though they do not train, as the stage says.

    Every part runs on every step: a batch without images or regions runs their parts on a dummy whose tokens stand
    nowhere, so that ranks with different batches meet in the same collectives and no gradient is missing.
    """

    def __init__(
        self,
        language: Callable[[], LanguageModel],
        vision: Callable[[], VisionEncoder] | None = None,
        bridges: dict[str, Callable[[int, int, int], Bridge]] | None = None,
        regions: Callable[[int, int, int], RegionEncoder] | None = None,
        soft_prompt: Callable[[int], SoftPrompt] | None = None,
        question_tokenizer: str | None = None,
        share_prefix: bool = False,
    ) -> None:
        super().__init__()
        if (bridges or regions) and vision is None:
            what = "bridges" if bridges else "regions"
            raise ConfigurationError("model.vision", "no vision encoder", f"one, as there are {what}", "name a tower")
        self.language = language()
        self.vision = vision() if vision is not None else None
        self.bridges = nn.ModuleDict()
        self.regions: RegionEncoder | None = None
        if self.vision is not None:
            sizes = (self.vision.width, self.language.width, self.vision.patches)
            self.bridges.update({name: bridge(*sizes) for name, bridge in (bridges or {}).items()})
            self.regions = regions(*sizes) if regions is not None else None
        for module in self.modules():
            if isinstance(module, Markers):
                module.start_at(self.language.mean_embedding())
        self.soft_prompt = soft_prompt(self.language.width) if soft_prompt is not None else None
        self.share_prefix = share_prefix
        self.frozen_gradients: Collection[str] = ()
        self._question_tokenizer = question_tokenizer

    def forward(self, batch: Batch) -> TokenPredictions:
        """Predict every supervised token of a batch.

        Returns:
            Logits at the supervised positions only, their targets, and the row each belongs to.
        """
        fused = self.fused(batch, kept_BT=batch.valid_BT)
        return self.language(fused.embeddings_BTD, fused.valid_BT, fused.labels_BT, batch.level_B, self.shared_prefix(batch))

    @torch.no_grad()
    def generate(self, batch: Batch, **options: Any) -> list[list[int]]:
        """Answer the last question of every row.

        Args:
            batch: rows; the answer at their end, if there is one, is not read.
            options: see `LanguageModel.generate`.

        Returns:
            Token ids of each row's answer, without special tokens.
        """
        fused = self.fused(batch, kept_BT=_before_last_answer(batch), align_right=not self.language.seq2seq)
        return self.language.generate(fused.embeddings_BTD, fused.valid_BT, batch.level_B, **options)

    @torch.no_grad()
    def rank(self, batch: Batch, answers: Sequence[Sequence[Sequence[int]]]) -> list[list[float]]:
        """How likely each of some answers to the last question of every row is; what is shown and asked is read once.

        Args:
            batch: rows; the answer at their end, if there is one, is not read.
            answers: to each row, token ids with the end token.

        Returns:
            The log-likelihood of each answer to each row; see `log_likelihoods`.
        """
        fused = self.fused(batch, kept_BT=_before_last_answer(batch))
        return log_likelihoods(self.language, fused.embeddings_BTD, fused.valid_BT, batch.level_B, answers)

    def fused(self, batch: Batch, kept_BT: Tensor, align_right: bool = False) -> Fused:
        """The rows of a batch as embeddings, features at their placeholders."""
        self._check(batch, kept_BT)
        text_BTD, kept_BT = self.embed_text(batch.ids_BT.clamp(min=0), kept_BT)
        seen = batch if len(batch.pair_row_N) else self._with_dummy_image(batch)
        features_LIPV = self.vision(seen.pixels_ICHW) if self.vision is not None else []
        features = Features(
            self._image_tokens(batch, seen, features_LIPV),
            self._region_tokens(batch, features_LIPV),
            self._soft_prompt_D(text_BTD),
        )
        return fuse(batch.ids_BT, kept_BT, batch.supervised_BT, text_BTD, features, align_right)

    def embed_text(self, ids_BT: Tensor, kept_BT: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings (B, T, D) of token ids, and which of them are read."""
        return self.language.embed(ids_BT), kept_BT

    def shared_prefix(self, batch: Batch) -> SharedPrefix | None:
        """What rows of one image and level have in common, if `share_prefix`; None where rows do not all begin alike, with
        their only image."""
        if not self.share_prefix or self.language.seq2seq or not self.language.unpadded:
            return None
        bridges: Any = self.bridges.values()
        tokens = sum(bridge.tokens for bridge in takewhile(lambda bridge: not bridge.question_aware, bridges))
        is_image_BT = (batch.ids_BT == Placeholder.IMAGE) & batch.valid_BT
        place = int(is_image_BT[0].int().argmax())
        before_BT = batch.ids_BT[:, :place]
        alike = is_image_BT[:, place].all() and (before_BT == before_BT[:1]).all() and (before_BT != Placeholder.REGION).all()
        one_each = len(batch.pair_row_N) == len(batch) and bool(alike)
        if tokens == 0 or not one_each:
            return None
        kind_B = batch.pair_image_N * len(LEVELS) + batch.level_B
        kinds, prefix_B = kind_B.unique(return_inverse=True)
        row_U = prefix_B.new_zeros(len(kinds)).scatter_(0, prefix_B, torch.arange(len(batch), device=prefix_B.device))
        return SharedPrefix(torch.full_like(row_U, place + tokens), row_U, prefix_B)

    def keep_only(self, bridges: Sequence[str], levels: Sequence[str], region_parts: Sequence[str] = ()) -> None:
        """Reduce the model to what a stage uses: its bridges, the adapters of its levels, and of the region encoder
        everything, all but `region_position`, or nothing.

        Raises:
            ConfigurationError: a bridge that the model does not have.
        """
        missing = sorted(set(bridges) - set(self.bridges))
        if missing:
            remedy = "add the bridge to the model's file, or use a stage without it"
            raise ConfigurationError("model.bridges", f"{sorted(self.bridges)}", f"also {missing}", remedy)
        for name in set(self.bridges) - set(bridges):
            del self.bridges[name]
        if not region_parts:
            self.regions = None
        elif self.regions is not None and "region_position" not in region_parts:
            self.regions.position = None
        if not self.bridges and self.regions is None:
            self.vision = None  # nothing reads it
        if levels:
            self.language.keep_levels(levels)

    def tokenizers(self) -> Tokenizers:
        """What the data needs to turn text into ids of this model."""
        language: Any = self.language.tokenizer
        question: Any = self.language.load_tokenizer(self._question_tokenizer) if self._question_tokenizer else language
        return Tokenizers(language=language, question=question, seq2seq=self.language.seq2seq)

    def normalisation(self) -> Normalisation:
        """What the data needs to normalise pictures in the place of this model.

        Raises:
            ConfigurationError: the features of pictures are cached, which are found by their bytes.
        """
        if self.vision is not None and self.vision.is_cached:
            found, remedy = "false, with a cache_folder of the vision encoder", "set one of the two otherwise"
            raise ConfigurationError("data.pixels_as_bytes", found, "true: features are found by a picture's bytes", remedy)

        def of(tower: VisionEncoder | RegionEncoder) -> Callable[[Tensor], Tensor]:
            return partial(normalised, mean=tower.mean, std=tower.std, dtype=torch.float32)

        return Normalisation(
            pixels=of(self.vision) if self.vision is not None else None,
            region_pixels=of(self.regions) if self.regions is not None and self.regions.picture_sides else None,
        )

    def trained_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Names and tensors of everything that trains: that has gradients which are used."""
        for name, parameter in self.named_parameters():
            if parameter.requires_grad and self.part_of(name) not in self.frozen_gradients:
                yield name, parameter

    def drop_frozen_gradients(self) -> None:
        """Throw away the gradients that are not used."""
        for name, parameter in self.named_parameters():
            if parameter.grad is not None and self.part_of(name) in self.frozen_gradients:
                parameter.grad = None

    @staticmethod
    def part_of(parameter: str) -> str:
        """The part that a parameter belongs to: what stages train, warm starts take, and the parts table lists.

        `vision`, `language`, `lora`, `soft_prompt`, the name of a bridge, `alignment` or `image_markers` inside one,
        `region_encoder` (its frozen tower), `region_projector`, `region_position`, `region_markers`, `router`, or
        `adapter_<level>`.
        """
        part, _, rest = parameter.partition(".")
        owner, _, inside = rest.partition(".")
        if part == "bridges":
            return {"alignment": "alignment", "markers": "image_markers"}.get(inside.partition(".")[0], owner)
        if part == "regions":
            return f"region_{owner}"
        if adapter := _ADAPTER.search(parameter):
            return f"adapter_{adapter['level']}"
        if MARK in parameter:
            return "lora"
        return "router" if ".mixture.router." in parameter else part

    def _image_tokens(self, batch: Batch, seen: Batch, features_LIPV: Sequence[Tensor]) -> Tensor:
        """Tokens of each (row, image) pair (N, Q, D).

        Args:
            batch: the batch.
            seen: the same with a dummy image, if it has none.
            features_LIPV: of the images that are seen.
        """
        if not self.bridges:
            return torch.zeros(len(batch.pair_row_N), 0, self.language.width, device=batch.ids_BT.device)
        pairs = seen.pair_row_N, seen.pair_image_N
        question = seen.question_ids_BS, seen.question_valid_BS
        tokens_NQD = torch.cat([bridge(features_LIPV, *pairs, *question) for bridge in self.bridges.values()], dim=1)
        return tokens_NQD[: len(batch.pair_row_N)]  # of the dummy image, none: its parts have gradients, and these are 0

    def _region_tokens(self, batch: Batch, features_LIPV: Sequence[Tensor]) -> Tensor:
        """Tokens of each region (G, R, D)."""
        if self.regions is None:
            return torch.zeros(0, 1, self.language.width, device=batch.ids_BT.device)
        asked = batch if len(batch.region_row_G) else _with_dummy_region(batch)
        tokens_GRD = self.regions(features_LIPV, asked.region_pictures, asked.region_image_G, asked.boxes_G4)
        return tokens_GRD[: len(batch.region_row_G)]

    def _soft_prompt_D(self, like: Tensor) -> Tensor:
        return self.soft_prompt() if self.soft_prompt is not None else like.new_zeros(self.language.width)

    def _check(self, batch: Batch, kept_BT: Tensor) -> None:
        """Counts of placeholders and features agree, and the parts they need are there."""
        check_placeholders(batch.ids_BT, kept_BT, batch.pair_row_N, Placeholder.IMAGE, batch.rows)
        check_placeholders(batch.ids_BT, kept_BT, batch.region_row_G, Placeholder.REGION, batch.rows)
        if self.regions is None and len(batch.region_row_G):
            raise ConfigurationError(
                f"sample {batch.rows[int(batch.region_row_G[0])].key}",
                "a prompt that shows a region as a token",
                "a model and a stage with the part regions",
                "give the model a region encoder, or set regions to text in the data's prompt style",
            )
        if self.soft_prompt is None and bool(((batch.ids_BT == Placeholder.SOFT_PROMPT) & kept_BT).any()):
            raise ConfigurationError(
                f"sample {batch.rows[0].key}",
                "a prompt with tags, which stand behind a soft prompt",
                "a model with the part soft_prompt",
                "give the model a soft prompt, or set tags to hard or none in the data's prompt style",
            )

    def _with_dummy_image(self, batch: Batch) -> Batch:
        """The batch with one black image shown to its first row, for parts that must run on every step."""
        if self.vision is None:
            return batch
        first = batch.ids_BT.new_zeros(1)
        size = (1, 3, self.vision.image_size, self.vision.image_size)
        pixels_ICHW = torch.zeros(size, dtype=torch.uint8, device=batch.ids_BT.device)
        return replace(batch, pixels_ICHW=pixels_ICHW, pair_row_N=first, pair_image_N=first)


def _before_last_answer(batch: Batch) -> Tensor:
    """True at the tokens that stand before the last answer of their row."""
    asked_BT = batch.valid_BT & ~batch.supervised_BT
    a_question_follows_BT = asked_BT.int().flip(1).cummax(1).values.flip(1).bool()
    return batch.valid_BT & a_question_follows_BT


def _with_dummy_region(batch: Batch) -> Batch:
    """The batch with one region, the whole of its first image or of a small black one."""
    first = batch.ids_BT.new_zeros(1)
    whole_G4 = torch.tensor([[0.0, 0.0, 1.0, 1.0]], device=first.device)
    picture = torch.zeros(3, DUMMY_SIDE, DUMMY_SIDE, dtype=torch.uint8, device=first.device)
    return replace(batch, region_pictures=(picture,), region_row_G=first, region_image_G=first, boxes_G4=whole_G4)
