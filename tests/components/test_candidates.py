"""All answers in one pass have the likelihoods that each has alone, read as a supervised row."""

import pytest
import torch
from torch.nn import functional as F

from tests.components.test_language import IMAGE, REGION, awake, folders  # noqa: F401  (a fixture)
from triscope.components.candidates import log_likelihoods
from triscope.components.language import IGNORED_LABEL, LanguageModel

LENGTHS = (9, 6)  # of the questions
ANSWERS = [[[5, 6, 2], [7, 2], [5, 6, 7, 8, 2], [2]], [[9, 2], [5, 6, 2], [11, 12, 2]]]


@pytest.fixture(params=["llama", "t5"])
def language(request, folders) -> LanguageModel:  # noqa: F811
    return awake(LanguageModel(str(folders[request.param]), adapter_bottleneck=4)).eval()


def questions(language: LanguageModel, padding: str = "right", rows: tuple[int, ...] = (0, 1)) -> dict[str, torch.Tensor]:
    """Rows of random ids, padded on a side; chosen ones stay what they are."""
    generator = torch.Generator().manual_seed(3)
    ids = [torch.randint(3, 61, (length,), generator=generator) for length in LENGTHS]
    longest = max(len(ids[row]) for row in rows) + 2  # columns that are padding in every row, too
    ids_BT, valid_BT = torch.zeros(len(rows), longest, dtype=torch.long), torch.zeros(len(rows), longest, dtype=torch.bool)
    for place, row in enumerate(rows):
        where = slice(0, len(ids[row])) if padding == "right" else slice(longest - len(ids[row]), longest)
        ids_BT[place, where], valid_BT[place, where] = ids[row], True
    level_B = torch.tensor([IMAGE, REGION])[list(rows)]
    return {"embeddings_BTD": language.embed(ids_BT), "valid_BT": valid_BT, "level_B": level_B}


def alone(language: LanguageModel, row: int, answer: list[int]) -> float:
    """What the loss says of an answer: the row with it, supervised."""
    asked = questions(language, rows=(row,))
    count = int(asked["valid_BT"].sum())
    embeddings = torch.cat([asked["embeddings_BTD"][:, :count], language.embed(torch.tensor([answer]))], dim=1)
    labels = torch.tensor([[IGNORED_LABEL] * count + answer])
    with torch.no_grad():
        predicted = language(embeddings, torch.ones_like(labels, dtype=torch.bool), labels, asked["level_B"])
    return -float(F.cross_entropy(predicted.logits_MV, predicted.targets_M, reduction="sum"))


@pytest.mark.parametrize("padding", ["left", "right"])
def test_answers_in_one_pass_are_as_likely_as_each_alone(language, padding):
    together = log_likelihoods(language, **questions(language, padding), answers=ANSWERS)
    expected = [[alone(language, row, answer) for answer in answers] for row, answers in enumerate(ANSWERS)]
    for row in range(2):
        assert together[row] == pytest.approx(expected[row], rel=1e-4, abs=1e-3)
    assert len({round(score, 2) for score in together[0]}) == 4


def test_neither_the_other_answers_nor_the_other_questions_matter(language):
    both = log_likelihoods(language, **questions(language), answers=ANSWERS)
    backwards = log_likelihoods(
        language, **questions(language, rows=(1, 0)), answers=[answers[::-1] for answers in ANSWERS[::-1]]
    )
    single = log_likelihoods(language, **questions(language, rows=(1,)), answers=[[ANSWERS[1][2]]])
    for row in range(2):
        assert backwards[1 - row][::-1] == pytest.approx(both[row], rel=1e-4, abs=1e-3)
    assert single[0][0] == pytest.approx(both[1][2], rel=1e-4, abs=1e-3)
