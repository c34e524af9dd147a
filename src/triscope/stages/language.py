"""Training a small language model on text alone, before it is frozen and given eyes."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from triscope.components.phrases import fold_phrases, inside_phrases
from triscope.components.unpadded_causal import SharedPrefix
from triscope.data.batch import Batch
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
            place = (ids_BT == self._marks[0]).nonzero(as_tuple=True)
            scale = self._noise * self.language.model.get_input_embeddings().weight.detach().std()
            folded_BTD = folded_BTD.index_put(place, scale * torch.randn_like(folded_BTD[place]), accumulate=True)
        return folded_BTD, kept_BT & is_kept_BT

    def shared_prefix(self, batch: Batch) -> SharedPrefix | None:
        """How the questions about one text begin alike, if `share_prefix`; None where no text has two."""
        texts = [row.key.rpartition(":")[0] for row in batch.rows]
        readable = self.language.unpadded and not self.language.seq2seq
        if not (self.share_prefix and readable) or len(set(texts)) == len(texts):
            return None
        numbers = {text: number for number, text in enumerate(dict.fromkeys(texts))}
        ids_BT = batch.ids_BT
        prefix_B = ids_BT.new_tensor([numbers[text] for text in texts])
        row_U = ids_BT.new_tensor([texts.index(text) for text in numbers])
        alike_B = ((ids_BT == ids_BT[row_U[prefix_B]]) & batch.valid_BT & ~batch.supervised_BT).cumprod(1).sum(1)
        alike_U = torch.full_like(row_U, ids_BT.shape[1]).scatter_reduce(0, prefix_B, alike_B, "amin")
        alike_U *= prefix_B.bincount() > 1  # what is not shared only makes room for the others' length

        begin, end, _ = self._marks
        is_whole_UT = ~inside_phrases(ids_BT[row_U], begin, end)  # a word, or the end of a phrase, which is one token with it
        is_shared_UT = torch.arange(ids_BT.shape[1], device=ids_BT.device) < alike_U[:, None]
        return SharedPrefix((is_whole_UT & is_shared_UT).sum(1), row_U, prefix_B)


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
