"""Numbers beside texts were computed with the packages rouge 1.0.1 and pycocoevalcap 1.2 from the cleaned texts."""

import json

import pytest

from triscope.data.batch import Row
from triscope.data.sample import Level
from triscope.evaluation.predictions import Prediction
from triscope.evaluation.sam import cleaned, rouge_l, write_scores

SAID = {
    'The dog runs; it\'s 3.5 m long.\nThen it "sleeps".': "A dog runs. Then it sleeps, on 1,000 mats!",
    "Two animals in the snow": "Animals in the snow.",
    "": "a girl and her kite",
}


def predictions() -> list[Prediction]:
    return [
        Prediction(Row(f"s{number}:0", "story", Level.IMAGE, "What happens?", (truth, "another truth")), said)
        for number, (said, truth) in enumerate(SAID.items())
    ]


def test_texts_are_cleaned_as_the_authors_clean_them():
    assert [cleaned(text) for text in SAID] == ["the dog runs it's 3.5 m long then it sleeps", "two animals in the snow", ""]
    assert cleaned(next(iter(SAID.values()))) == "a dog runs then it sleeps on 1000 mats"
    assert cleaned("'A black-and-white cat'") == "a black and white cat"


def test_only_the_first_32_full_stops_disappear():
    assert cleaned("a. " * 33) == "a " * 32 + "a."


@pytest.mark.parametrize(
    ("candidate", "reference", "score"),
    [
        ("the dog runs it's 3.5 m long then it sleeps", "a dog runs then it sleeps on 1000 mats", 0.4999999950500001),
        ("the dog . a cat .. sat", " a cat. the  dog sat", 0.999999995),
        ("a b a c.b a", "b a. c a b", 0.6666666616666668),
        ("", "a girl", 0.0),
    ],
)
def test_rouge_is_that_of_the_package_over_different_words_and_sentences(candidate, reference, score):
    assert rouge_l(candidate, reference) == pytest.approx(score, abs=1e-12)


def test_the_three_files_hold_answers_scores_and_the_scores_of_each_sample(tmp_path):
    scores = write_scores(tmp_path / "story", predictions())
    said, evaluated, samples = (
        json.loads((tmp_path / "story" / name).read_text()) for name in ("pred.json", "eval.json", "eval_score.json")
    )
    assert said[1] == {
        "sample_id": "s1:0",
        "pred_response": "Two animals in the snow",
        "gt_response": "Animals in the snow.",
    }
    assert evaluated == scores
    assert {name: scores[name] for name in ("rouge", "cider", "bleu4")} == {"rouge": 46.3, "cider": 355.49, "bleu4": 24.78}
    assert scores["ptb_tokenizer"].keys() == {"rouge", "cider", "bleu4"} and scores["ptb_tokenizer"]["cider"] != scores["cider"]
    assert samples == [
        {"sample_id": "s0:0", "rouge": 50.0, "cider": 256.78, "bleu4": 0.0},
        {"sample_id": "s1:0", "rouge": 88.89, "cider": 809.69, "bleu4": 66.87},
        {"sample_id": "s2:0", "rouge": 0.0, "cider": 0.0, "bleu4": 0.0},
    ]
