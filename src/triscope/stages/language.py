"""Training a small language model on text alone, before it is frozen and given eyes."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from triscope.components.phrases import fold_phrases
from triscope.data.errors import ConfigurationError
from triscope.data.phrases import PHRASE_BEGIN, PHRASE_END, SEPARATOR
from triscope.data.sample import Level
from triscope.model import VisualLanguageModel
from triscope.stages.base import Stage


class PhraseReader(VisualLanguageModel):
    """A language model of text in which a phrase is one token, as what it will be shown of pictures.

    Args:
        noise: standard deviation of what is added to phrases in training, in those of the embeddings; the tokens of
            pictures are never exact either.
        parts: the parts of a `VisualLanguageModel`.
    """

    def __init__(self, noise: float = 0.3, **parts) -> None:
        super().__init__(**parts)
        self._noise = noise
        tokenizer: Any = self.language.tokenizer
        self._marks = [tokenizer.convert_tokens_to_ids(mark) for mark in (PHRASE_BEGIN, PHRASE_END, SEPARATOR)]

    def embed_text(self, ids_BT: Tensor, kept_BT: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings with phrases folded."""
        folded_BTD, is_kept_BT = fold_phrases(ids_BT, self.language.embed(ids_BT), *self._marks)
        if self.training:
            is_phrase_BT1 = (ids_BT == self._marks[0])[..., None]
            scale = self._noise * self.language.model.get_input_embeddings().weight.detach().std()
            folded_BTD = folded_BTD + scale * torch.randn_like(folded_BTD) * is_phrase_BT1
        return folded_BTD, kept_BT & is_kept_BT


class LanguageStage(Stage):
    """The language model itself, on samples without images. Vision, bridges and adapters are left out.

    Args:
        model: builds the model.
        words_train: whether its embeddings train. Bridges that name things in those words stay of use if they do not. Of a
            language model with a LoRA they never do.
        options: of every stage.
    """

    bridges = ()
    levels = ()
    accepted_levels = (Level.IMAGE, Level.REGION)
    trained_parts = ("language",)

    def __init__(self, model: Callable[[], VisualLanguageModel], words_train: bool = True, **options) -> None:
        super().__init__(model, **options)
        self._words_train = words_train

    def configure_model(self) -> None:
        """As in every stage; then freeze the embeddings, if they do not train.

        Raises:
            ConfigurationError: they are random and are to stay so.
        """
        super().configure_model()
        if self._words_train:
            return
        if self.model.language.random_weights:
            remedy = "name a language model that has learned, or let its words train"
            raise ConfigurationError(
                "model.init_args.words_train", "false, over random weights", "words that mean something", remedy
            )
        self.model.language.model.get_input_embeddings().requires_grad_(False)
