"""Before LION's stages: bridges learn to say what stands where, in the words of the frozen language model.

The paper starts from BLIP-2's Q-Former, which has learned what to tell of a picture from 129 million of them. A small model has
no such start, and through a language model that does not know the bridge's tokens yet it learns nothing for long. So each token
is read by the language model's own output embeddings, and drawn to the sum of the input embeddings of what it is to say, which
costs no pass through the language model. This stage is ours; no paper has it.

Local letters: w words of a thing.
"""

import math
import re
from collections.abc import Callable
from functools import cache, cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from triscope.components.naming import said_words
from triscope.data.batch import Batch
from triscope.data.box_text import format_box
from triscope.data.boxes import Box
from triscope.data.cells import covering_things
from triscope.data.errors import ConfigurationError
from triscope.data.phrases import NOTHING
from triscope.data.sample import Level
from triscope.distributed import whole
from triscope.stages.base import Stage

EMPTY_WEIGHT = 0.15  # of the loss of a cell without a thing; there are more of them
NO_WORD = -1


class NamingStage(Stage):
    """Each token of a bridge names the thing that covers its cell: size, colour and name, and where the thing begins and ends.

    The tokens of a bridge lie over the picture as a square of cells, row by row; what is more than a square comes first and says
    nothing (a class token). Things are those of a sample's `extra["objects"]`, as converters of boxed sets write them.
    Validation and test ask the language model as in every stage.
    """

    bridges = None  # all that the model has
    levels = ()
    accepted_levels = (Level.IMAGE, Level.REGION)
    trained_parts = ("qformer", "aggregator", "image_projector")

    def training_step(self, batch: Batch) -> Tensor:
        """The sum of the losses of all cells; divided by the named cells of the whole step in `on_before_optimizer_step`."""
        row_I, image_I = _first_rows(batch)
        features_LIPV = self.model.vision(batch.pixels_ICHW)  # type: ignore[misc]  # a model with bridges has one
        language = self.model.language.model
        read_VD = whole(language.get_input_embeddings().weight).detach()
        said_VD = whole(language.get_output_embeddings().weight).detach()
        total, named = said_VD.new_zeros(()), 0
        bridges: Any = self.model.bridges.items()
        for name, bridge in bridges:
            words_IQw = self.words_to_say(batch, row_I, image_I, bridge.tokens).to(self.device)
            is_named_IQ = words_IQw[:, :, 0] != self._encode(NOTHING)[0]
            tokens_IQD = bridge(features_LIPV, row_I, image_I, batch.question_ids_BS, batch.question_valid_BS)
            logits_IQV = said_words(tokens_IQD, said_VD)
            losses_IQ = naming_losses(logits_IQV, words_IQw) + phrase_errors(tokens_IQD, words_IQw, read_VD)
            loss = (losses_IQ * torch.where(is_named_IQ, 1.0, EMPTY_WEIGHT)).sum()
            total, named = total + loss, named + int(is_named_IQ.sum())
            if self._is_logged_step:
                self.log(f"train/loss_{name}", loss.detach() / is_named_IQ.sum().clamp(min=1))
                self.log(f"train/words_{name}", found_words(logits_IQV[is_named_IQ], words_IQw[is_named_IQ]))
        self.supervised_tokens += named
        if self._is_logged_step:
            self.log("train/loss", total.detach() / max(named, 1), prog_bar=True)
        return total

    def words_to_say(self, batch: Batch, row_I: Tensor, image_I: Tensor, tokens: int) -> Tensor:
        """Ids of the words that each token of each image is to say, `NOTHING` or those of a thing, `NO_WORD` behind (I, Q, w).

        Args:
            batch: rows, which know the things in their images.
            row_I, image_I: images, each with a row that shows it.
            tokens: Q.
        """
        side, nothing = math.isqrt(tokens), self._encode(NOTHING)
        place_N, shown = batch.place_N.tolist(), list(zip(batch.pair_row_N.tolist(), batch.pair_image_N.tolist(), strict=True))
        said: list[list[list[int]]] = []
        for row, image in zip(row_I.tolist(), image_I.tolist(), strict=True):
            number = batch.rows[row].images[place_N[shown.index((row, image))]]
            things = [thing for thing in _objects(batch, row) if thing.get("image", 0) == number]
            spoken = [self._spoken(thing) for thing in things]
            covering = covering_things([thing["box"] for thing in things], side)
            said.append([nothing] * (tokens - side**2) + [nothing if thing is None else spoken[thing] for thing in covering])
        longest = max(len(words) for cells in said for words in cells)
        return torch.tensor([[words + [NO_WORD] * (longest - len(words)) for words in cells] for cells in said])

    @cached_property
    def _encode(self) -> Callable[[str], list[int]]:
        """Ids of a text, encoded the first time only: few words are said often, and a tokenizer takes its time."""
        language = self.tokenizers().language
        return cache(lambda text: language.encode(text, add_special_tokens=False))

    def _spoken(self, thing: dict[str, Any]) -> list[int]:
        """Ids of a thing's size, colour and name, and of the squares it begins and ends at, where boxes are written so."""
        words = [f" {word}" for key in ("size", "color", "name") if (word := thing.get(key))]
        if self._loose_trainer.datamodule.prompt_style.box_format == "squares":
            text = format_box(Box(*thing["box"]), "squares")
            words += re.findall(r"[a-z]|\d+", text)
        return list(dict.fromkeys(token for word in words for token in self._encode(word)))


def naming_losses(logits_IQV: Tensor, words_IQw: Tensor) -> Tensor:
    """Mean negative log-likelihood of each token's words (I, Q), float32.

    Args:
        logits_IQV: what the tokens say.
        words_IQw: ids of the words that they are to say, `NO_WORD` behind the last.
    """
    is_word_IQw = words_IQw != NO_WORD
    likelihood_IQw = F.log_softmax(logits_IQV.float(), dim=-1).gather(-1, words_IQw.clamp(min=0))
    return -(likelihood_IQw * is_word_IQw).sum(-1) / is_word_IQw.sum(-1)


def phrase_errors(tokens_IQD: Tensor, words_IQw: Tensor, embeddings_VD: Tensor) -> Tensor:
    """Squared distance of each token from the sum of its words (I, Q), float32; the mean square of those sums is 1.

    That sum is what a language model that has read scenes as text (`triscope.components.phrases`) knows as a phrase: likely
    words alone leave a token's length open, and it became many times that of a phrase.

    Args:
        tokens_IQD: of a bridge.
        words_IQw: as in `naming_losses`.
        embeddings_VD: the language model's input embeddings.
    """
    is_word_IQw = words_IQw != NO_WORD
    phrases_IQD = (embeddings_VD.float()[words_IQw.clamp(min=0)] * is_word_IQw[..., None]).sum(-2)
    return (tokens_IQD.float() - phrases_IQD).square().sum(-1) / phrases_IQD.square().sum(-1).mean()


def found_words(logits_MV: Tensor, words_Mw: Tensor) -> Tensor:
    """Share of the words to say that are among the most likely, as many as they are."""
    is_word_Mw = words_Mw != NO_WORD
    order_MV = logits_MV.argsort(dim=1, descending=True).argsort(dim=1)  # place of every word
    is_found_Mw = order_MV.gather(1, words_Mw.clamp(min=0)) < is_word_Mw.sum(1, keepdim=True)
    return (is_found_Mw & is_word_Mw).sum() / is_word_Mw.sum().clamp(min=1)


def _first_rows(batch: Batch) -> tuple[Tensor, Tensor]:
    """Of every image that is shown: the first row that shows it, and its number."""
    row_of = dict(reversed(list(zip(batch.pair_image_N.tolist(), batch.pair_row_N.tolist(), strict=True))))
    pairs = sorted((row, image) for image, row in row_of.items())  # bridges want them in row order
    rows, images = zip(*pairs, strict=True) if pairs else ((), ())
    device = batch.pair_row_N.device
    return torch.tensor(rows, dtype=torch.long, device=device), torch.tensor(images, dtype=torch.long, device=device)


def _objects(batch: Batch, row: int) -> list[dict[str, Any]]:
    """The things of a row's sample.

    Raises:
        ConfigurationError: the sample tells of none.
    """
    objects = (batch.rows[row].extra or {}).get("objects")
    if objects is None:
        raise ConfigurationError(
            f"sample {batch.rows[row].key}, extra.objects",
            "nothing",
            "name and box of every thing in the picture, to be named by the bridges' tokens",
            "train on scenes or on a set that was converted from boxes, such as coco_instances",
        )
    return objects
