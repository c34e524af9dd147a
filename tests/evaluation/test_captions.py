"""Caption scores equal the numbers that the official tools print."""

import json
import shutil

import pytest

from tests.conftest import shared
from triscope.evaluation.captions import bleu, cider_d, rouge_l, tokens


def load(name):
    return json.loads((shared("metric_fixtures") / name).read_text())


@pytest.fixture
def nlg_eval():
    folder = shared("metric_fixtures") / "nlg_eval"
    candidates, first, second = ((folder / name).read_text().splitlines() for name in ("hyp.txt", "ref1.txt", "ref2.txt"))
    references = [list(pair) for pair in zip(first, second, strict=False)]
    return candidates[: len(references)], references, json.loads((folder / "expected.json").read_text())


def test_scores_of_a_corpus_equal_the_official_ones(nlg_eval):
    candidates, references, expected = nlg_eval
    assert bleu(candidates, references) == pytest.approx([expected[f"Bleu_{n}"] for n in (1, 2, 3, 4)], abs=1e-6)
    assert rouge_l(candidates, references).mean() == pytest.approx(expected["ROUGE_L"], abs=1e-6)
    assert cider_d(candidates, references).mean() == pytest.approx(expected["CIDEr"], abs=1e-6)


def test_scores_of_a_single_caption_equal_the_official_ones(nlg_eval):
    case = nlg_eval[2]["single_case"]
    item = [case["hyp"]], [case["ref"]]
    assert bleu(*item) == pytest.approx([case[f"Bleu_{n}"] for n in (1, 2, 3, 4)], rel=2e-6)
    assert rouge_l(*item)[0] == pytest.approx(case["ROUGE_L"], abs=1e-7)
    assert cider_d(*item)[0] == case["CIDEr"] == 0.0  # a phrase of every item's references weighs nothing


@pytest.mark.parametrize("kind", ["good", "bad"])
def test_raw_captions_score_as_after_the_official_tokeniser(kind):
    captions, references = load(f"clipscore_example/{kind}_captions.json"), load("clipscore_example/refs.json")
    expected = load("clipscore_example/expected_from_readme.json")[kind]
    items = list(captions.values()), [references[image] for image in captions]
    assert bleu(*items) == pytest.approx([expected[f"BLEU-{n}"] for n in (1, 2, 3, 4)], abs=1e-4)
    assert rouge_l(*items).mean() == pytest.approx(expected["ROUGE"], abs=5e-5)
    assert cider_d(*items).mean() == pytest.approx(expected["CIDER"], abs=5e-5)


def test_raw_text_and_its_tokens_score_alike(nlg_eval):
    candidates, references, _ = nlg_eval
    split = [tokens(text) for text in candidates], [[tokens(text) for text in texts] for texts in references]
    for metric in (cider_d, rouge_l):
        assert metric(*split).tolist() == metric(candidates, references).tolist()
    assert bleu(*split) == bleu(candidates, references)


def test_bleu_takes_the_shorter_of_two_equally_close_references():
    # Four words between references of three and five: the shorter one counts, so brevity costs nothing.
    candidate, shorter, longer = "a b c d", "a b c", "a b c d e"
    assert bleu([candidate], [[shorter, longer]])[0] == pytest.approx(1.0)
    assert bleu([candidate], [[longer, longer]])[0] == pytest.approx(0.7788, abs=1e-4)  # exp(1 - 5/4)


def test_a_repeated_word_earns_no_more_than_its_references_hold():
    assert bleu(["the the the the"], [["the cat", "the dog"]])[0] == pytest.approx(0.25)


def test_rouge_weighs_recall_and_takes_the_best_of_each():
    # Two of three words in order; precision 2/3 and recall 2/4.
    precision, recall = 2 / 3, 2 / 4
    expected = (1 + 1.44) * precision * recall / (recall + 1.44 * precision)
    assert rouge_l(["a x c"], [["a b c d"]])[0] == pytest.approx(expected)
    assert rouge_l(["a x c"], [["a b c d", "a c"]])[0] == pytest.approx(2.44 * (2 / 3) / (1 + 1.44 * 2 / 3))


def test_cider_of_an_item_depends_on_the_corpus_it_stands_in():
    candidates, references = ["a red dog", "a red cat", "two boats"], [["a red dog"], ["a red cat"], ["two boats"]]
    whole, alone = cider_d(candidates, references), cider_d(candidates[:1], references[:1])
    assert whole.tolist() == pytest.approx([7.5, 7.5, 5.0])  # no n-gram of length 4, and none of length 3 in "two boats"
    assert alone[0] == 0.0


def test_cider_credits_a_repeated_word_once():
    # One shared word, thrice in the candidate: min(3w, w) * w over norms 3w and sqrt(3) w, a quarter for the four lengths.
    expected = 10 / 4 / (3 * 3**0.5)
    assert cider_d(["dog dog dog", "two boats"], [["a dog here"], ["two boats"]])[0] == pytest.approx(expected)


def test_cider_is_lower_for_a_longer_caption_and_for_repetition():
    references = [["a red dog on the grass"], ["two boats at sea"]]
    exact, longer, repeated = (
        cider_d([text, "two boats"], references)[0]
        for text in ("a red dog on the grass", "a red dog on the grass in the sun today", "a red dog dog dog dog dog")
    )
    assert exact > longer > repeated > 0


def test_an_empty_caption_scores_nothing():
    assert bleu([""], [["a dog"]]) == pytest.approx((0, 0, 0, 0))
    assert rouge_l([""], [["a dog"]])[0] == 0
    assert cider_d(["", "a cat"], [["a dog"], ["a cat"]])[0] == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A man's dogs' bone... \"quoted\" text - and/or", "a man 's dogs bone quoted text and/or"),
        ("a black-and-white cat.", "a black-and-white cat"),
        ("They can't cannot gonna don't, we've I'm!", "they ca n't can not gon na do n't we 've i 'm"),
        ("(a dog) on 5th ave. in the U.S. isn't", "-lrb- a dog -rrb- on 5th ave. in the u.s. is n't"),
        ("50% off, it's $3.50!", "50 % off it 's $ 3.50"),
        ("St. Louis at 10:30 a.m.: #1 & Co. 1,000 things;", "st. louis at 10:30 a.m. # 1 & co. 1,000 things"),
        ("10 o'clock", "10 o'clock"),
    ],
)
def test_words_are_those_of_the_penn_treebank_tokeniser(text, expected):
    """The expected lines were written by the Java tokeniser of the COCO caption evaluation."""
    assert " ".join(tokens(text)) == expected


def test_captions_and_references_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="2 captions, 1 lists of references"):
        cider_d(["a", "b"], [["a"]])
    with pytest.raises(ValueError, match=r"references\[1\].*at least one caption"):
        rouge_l(["a", "b"], [["a"], []])
    with pytest.raises(ValueError, match=r"references\[0\].*list"):
        bleu(["a"], ["a dog"])


def test_scores_equal_pycocoevalcap_on_real_captions():
    """Optional cross-check with the maintained port of the official scorers, where it is installed."""
    pytest.importorskip("pycocoevalcap", reason="pycocoevalcap is not installed (optional cross-check)")
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    annotations = json.loads((shared("coco_sample") / "annotations" / "captions.json").read_text())["annotations"]
    captions: dict[int, list[str]] = {}
    for annotation in annotations:
        captions.setdefault(annotation["image_id"], []).append(" ".join(tokens(annotation["caption"])))
    results = {image: [texts[0]] for image, texts in captions.items()}
    truth = {image: texts[1:] for image, texts in captions.items()}
    items = [texts[0].split() for texts in captions.values()], [[t.split() for t in texts] for texts in truth.values()]
    assert bleu(*items) == pytest.approx(Bleu(4).compute_score(truth, results, verbose=0)[0], rel=1e-9)
    assert cider_d(*items).tolist() == pytest.approx(Cider().compute_score(truth, results)[1].tolist(), rel=1e-9)
    assert rouge_l(*items).tolist() == pytest.approx(Rouge().compute_score(truth, results)[1].tolist(), rel=1e-9)


@pytest.mark.skipif(shutil.which("java") is None, reason="Java is not installed: the published tokeniser is not run")
@pytest.mark.parametrize("texts", ["nlg_eval", "good", "bad"])
def test_raw_texts_score_as_pycocoevalcap_scores_them_behind_its_java_tokeniser(texts, request):
    pytest.importorskip("pycocoevalcap", reason="pycocoevalcap is not installed (optional cross-check)")
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    if texts == "nlg_eval":
        candidates, references, _ = request.getfixturevalue("nlg_eval")
    else:
        captions, known = load(f"clipscore_example/{texts}_captions.json"), load("clipscore_example/refs.json")
        candidates, references = list(captions.values()), [known[image] for image in captions]
    results, truth = (
        PTBTokenizer().tokenize({number: [{"caption": text} for text in some] for number, some in enumerate(each)})
        for each in ([[candidate] for candidate in candidates], references)
    )
    assert bleu(candidates, references) == pytest.approx(Bleu(4).compute_score(truth, results, verbose=0)[0], rel=1e-9)
    assert cider_d(candidates, references).tolist() == pytest.approx(Cider().compute_score(truth, results)[1].tolist(), rel=1e-9)
    assert rouge_l(candidates, references).tolist() == pytest.approx(Rouge().compute_score(truth, results)[1].tolist(), rel=1e-9)
