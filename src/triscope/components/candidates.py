"""How likely a language model takes each answer of a list to be, all answers of a question in one pass.

    causal     question | answer 1 | answer 2 | answer 3     each answer reads the question and itself, at the positions that it
                                                             would have right behind the question
    seq2seq    encoder: question     decoder: answer 1 | answer 2 | answer 3     T5's positions are relative: nothing moves

So the question, with its pictures, is read once. Local letters: E tokens of its answers that are read, one answer behind the
other; W tokens of the question and of its answers, T + E.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from triscope.components.language import LanguageModel


class _Laid(NamedTuple):
    """The answers to some questions, one behind the other in each row.

    Args:
        given_BE: the token that is read, 0 where there is none.
        wanted_BE: the token to be predicted from it; -1 where none is.
        answer_BE: which answer of its row a token belongs to; -1 where there is none.
        place_BE: its place in that answer, from 0.
    """

    given_BE: Tensor
    wanted_BE: Tensor
    answer_BE: Tensor
    place_BE: Tensor

    @property
    def sees_BEE(self) -> Tensor:
        """True where a token reads another: of its own answer, and not behind it."""
        same_BEE = self.answer_BE[:, :, None] == self.answer_BE[:, None, :]
        return same_BEE & (self.place_BE[:, :, None] >= self.place_BE[:, None, :])


@torch.no_grad()
def log_likelihoods(
    language: LanguageModel,
    embeddings_BTD: Tensor,
    valid_BT: Tensor,
    level_B: Tensor,
    answers: Sequence[Sequence[Sequence[int]]],
) -> list[list[float]]:
    """The log-probability of every answer, end token included, behind its question: the sum over its tokens.

    LION ranks by this sum, which is not divided by the length (`reduction="none"` of its T5; LAVIS, `predict_class`).

    Args:
        language: in evaluation mode.
        embeddings_BTD: questions of text and feature embeddings; padding may be on either side.
        valid_BT: True where there is a token.
        level_B: number of each question's level, which picks its adapters.
        answers: to each question, token ids with the end token; every question has one or more, every answer too.

    Returns:
        A number for each answer of each question.
    """
    language.route_rows(level_B)
    score = _scores_of_seq2seq if language.seq2seq else _scores_of_causal
    return score(language, embeddings_BTD, valid_BT, answers)


def _scores_of_causal(
    language: LanguageModel, embeddings_BTD: Tensor, valid_BT: Tensor, answers: Sequence[Sequence[Sequence[int]]]
) -> list[list[float]]:
    # The first token of an answer is predicted from the end of the question, which is read once; the others from each other.
    laid = _laid([[(answer[:-1], answer[1:]) for answer in of_row] for of_row in answers], embeddings_BTD.device)
    columns, length_B = valid_BT.shape[1], valid_BT.sum(1)
    is_answer_BE = laid.answer_BE >= 0
    place_BT = (valid_BT.cumsum(1) - 1).clamp(min=0)
    earlier_TT = torch.ones(columns, columns, dtype=torch.bool, device=valid_BT.device).tril()
    sees_BWW = torch.cat(
        [
            F.pad(earlier_TT & valid_BT[:, None, :], (0, laid.given_BE.shape[1])),
            torch.cat([is_answer_BE[:, :, None] & valid_BT[:, None, :], laid.sees_BEE], dim=2),
        ],
        dim=1,
    )
    hidden_BWD = language.model.base_model(
        inputs_embeds=torch.cat([embeddings_BTD, language.embed(laid.given_BE).to(embeddings_BTD.dtype)], dim=1),
        attention_mask=_added(sees_BWW, embeddings_BTD.dtype),
        position_ids=torch.cat([place_BT, length_B[:, None] + laid.place_BE], dim=1),
        use_cache=False,
    ).last_hidden_state
    last_B = (valid_BT * torch.arange(1, columns + 1, device=valid_BT.device)).argmax(1)
    scores = []
    for row, of_row in enumerate(answers):
        first_V = _log_probabilities(language, hidden_BWD[row, last_B[row]][None])[0]
        begun = first_V[[answer[0] for answer in of_row]]
        scores.append((begun + _sums(language, hidden_BWD[row, columns:], laid, row, len(of_row))).tolist())
    return scores


def _scores_of_seq2seq(
    language: LanguageModel, embeddings_BTD: Tensor, valid_BT: Tensor, answers: Sequence[Sequence[Sequence[int]]]
) -> list[list[float]]:
    model = language.model
    start = model.config.decoder_start_token_id
    laid = _laid([[([start, *answer[:-1]], answer) for answer in of_row] for of_row in answers], embeddings_BTD.device)
    read_BTD = model.encoder(inputs_embeds=embeddings_BTD, attention_mask=valid_BT.long()).last_hidden_state
    hidden_BED = model.decoder(
        input_ids=laid.given_BE,
        attention_mask=_added(laid.sees_BEE, embeddings_BTD.dtype),
        encoder_hidden_states=read_BTD,
        encoder_attention_mask=valid_BT.long(),
        use_cache=False,
    ).last_hidden_state
    if model.config.scale_decoder_outputs:
        hidden_BED = hidden_BED * model.model_dim**-0.5
    return [_sums(language, hidden_BED[row], laid, row, len(of_row)).tolist() for row, of_row in enumerate(answers)]


def _sums(language: LanguageModel, hidden_ED: Tensor, laid: _Laid, row: int, count: int) -> Tensor:
    """The log-probabilities of the tokens of a row, summed by answer: K of them, its candidates."""
    is_wanted_E = laid.wanted_BE[row] >= 0
    log_probabilities_EV = _log_probabilities(language, hidden_ED[is_wanted_E])
    of_token_E = log_probabilities_EV.gather(1, laid.wanted_BE[row][is_wanted_E][:, None])[:, 0]
    sums_K = of_token_E.new_zeros(count)
    return sums_K.index_add_(0, laid.answer_BE[row][is_wanted_E], of_token_E)


def _log_probabilities(language: LanguageModel, hidden_ED: Tensor) -> Tensor:
    return language.model.get_output_embeddings()(hidden_ED).float().log_softmax(-1)


def _laid(rows: Sequence[Sequence[tuple[Sequence[int], Sequence[int]]]], device: torch.device) -> _Laid:
    """What is read and what is to be predicted of the answers to each question, as tensors."""
    longest = max(1, *(sum(len(given) for given, _ in row) for row in rows))
    nothing_BE = torch.full((len(rows), longest), -1)
    laid = _Laid(torch.zeros_like(nothing_BE), nothing_BE.clone(), nothing_BE.clone(), torch.zeros_like(nothing_BE))
    for number, row in enumerate(rows):
        end = 0
        for answer, (given, wanted) in enumerate(row):
            start, end = end, end + len(given)
            laid.given_BE[number, start:end] = torch.tensor(given, dtype=torch.long)
            laid.wanted_BE[number, start:end] = torch.tensor(wanted, dtype=torch.long)
            laid.answer_BE[number, start:end] = answer
            laid.place_BE[number, start:end] = torch.arange(len(given))
    return _Laid(*(tensor.to(device) for tensor in laid))


def _added(sees_Btt: Tensor, dtype: torch.dtype) -> Tensor:
    """A mask as it is added to the attention scores of all heads (t tokens). Padding, which reads nothing, reads all alike."""
    nothing = torch.finfo(dtype).min
    return torch.zeros(sees_Btt.shape, dtype=dtype, device=sees_Btt.device).masked_fill(~sees_Btt, nothing)[:, None]
