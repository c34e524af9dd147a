import math
import random

import pytest

from triscope.data.batch import Row
from triscope.data.boxes import Box
from triscope.data.sample import Level
from triscope.evaluation.predictions import BadPredictionsError, Prediction
from triscope.evaluation.tasks import score

DOG, CAT = Box(0.0, 0.0, 0.5, 0.5), Box(0.5, 0.5, 1.0, 1.0)


def row(key, task, answers=("dog",), level=Level.IMAGE, **fields):
    return Row(key=key, task=task, level=level, prompt="What is it?", answers=answers, **fields)


def values(predictions):
    return {name: value.value for name, value in score(predictions, resamples=0).items()}


@pytest.fixture
def predictions():
    """Two or three rows of every kind of task, half of them right."""
    objects = {"objects": [{"name": "dog", "box": DOG.corners}, {"name": "boat", "box": CAT.corners}]}
    people = ("dog",) * 3 + ("cat",) * 7
    return [
        Prediction(row("a:0", "caption", ("a red dog here", "the dog"), extra=objects), "a red dog here"),
        Prediction(row("b:0", "caption", ("a boat on the sea",)), "a boat at sea"),
        Prediction(row("a:1", "question", people), "dog"),
        Prediction(row("a:2", "question", people), "cat"),
        Prediction(row("a:3", "question", ("dog",)), "A dog."),
        Prediction(row("a:4", "yes_no", ("yes",)), "Yes, it is."),
        Prediction(row("a:5", "yes_no", ("no",)), "yes"),
        Prediction(row("a:6", "statement", ("no",)), "no"),
        Prediction(row("a:7", "count", ("2",)), "two"),
        Prediction(row("a:8", "color", ("red",)), "blue"),
        Prediction(row("a:9", "relation", level=Level.REGION), "dog"),
        Prediction(row("b:1", "recognition", level=Level.REGION), "The dog"),
        Prediction(row("b:2", "recognition", level=Level.REGION), "cat"),
        Prediction(row("b:3", "description", ("red dog",), level=Level.REGION), "red dog"),
        Prediction(row("b:4", "pointing", ("[...]",), Level.REGION, box=DOG), "[...]", DOG),
        Prediction(row("b:5", "pointing", ("[...]",), Level.REGION, box=CAT), "[...]", DOG),
        Prediction(row("b:6", "pointing", ("[...]",), Level.REGION, box=CAT), "the cat"),
        Prediction(row("b:7", "pointing_phrase", ("[...]",), Level.REGION, box=CAT), "[...]", CAT),
        Prediction(row("b:8", "sign_reading", ("STOP",)), "stop"),
    ]


def test_every_task_has_its_scores(predictions):
    scores = values(predictions)
    caption = {name: scores.pop(f"image/caption_{name}") for name in ("bleu4", "cider", "rouge_l")}
    brevity = math.exp(1 - 9 / 8)
    assert caption["bleu4"] == pytest.approx(brevity * (7 / 8 * 4 / 6 * 2 / 4 * 1 / 2) ** 0.25)
    assert caption["rouge_l"] == pytest.approx((1 + 2.44 * 0.75 * 0.6 / (0.6 + 1.44 * 0.75)) / 2)
    assert 0 < caption["cider"] < 1000
    assert scores.pop("region/description_bleu4") < 1e-3  # two words hold no phrase of four
    assert scores == pytest.approx(
        {
            "image/caption_noun_f1": 2 / 3,  # the dog is named, the boat beside it is not
            "image/color_acc": 0.0,
            "image/count_acc": 1.0,
            "image/question_acc": 1.0,
            "image/question_vqa_acc": 0.95,
            "image/sign_reading_acc": 1.0,
            "image/statement_acc": 1.0,
            "image/yes_no_acc": 0.5,
            "region/description_acc": 1.0,
            "region/description_cider": 0.0,
            "region/description_rouge_l": 1.0,
            "region/pointing_acc@0.5": 1 / 3,
            "region/pointing_mean_iou": 1 / 3,
            "region/pointing_phrase_acc@0.5": 1.0,
            "region/pointing_phrase_mean_iou": 1.0,
            "region/pointing_phrase_well_formed": 1.0,
            "region/pointing_well_formed": 2 / 3,
            "region/recognition_acc": 0.5,
            "region/relation_acc": 1.0,
        }
    )


def test_the_number_of_rows_is_told(predictions):
    scores = score(predictions, resamples=10)
    assert scores["region/pointing_acc@0.5"].n == 3
    assert scores["image/question_vqa_acc"].n == 2
    assert scores["image/caption_noun_f1"].n == 1


def test_the_order_of_the_rows_and_their_repetition_change_nothing(predictions):
    shuffled = predictions + predictions[:5]
    random.Random(1).shuffle(shuffled)
    assert score(shuffled, resamples=50) == score(predictions, resamples=50)


def test_a_worse_answer_lowers_each_of_its_scores(predictions):
    before = values(predictions)
    spoiled = values([Prediction(item.row, "zebra", None) for item in predictions])
    assert before.keys() == spoiled.keys()
    assert all(spoiled[name] < before[name] for name in before if before[name] > 0)


def test_cider_is_on_the_scale_of_papers():
    texts = ("a red dog sits here", "two boats at the sea")
    perfect = [Prediction(row(f"{text[0]}:0", "caption", (text,)), text) for text in texts]
    assert values(perfect)["image/caption_cider"] == pytest.approx(1000)


def test_levels_are_scored_apart():
    rows = [row("a:0", "recognition", level=level) for level in (Level.REGION,)] + [row("a:1", "recognition")]
    assert values([Prediction(item, "dog") for item in rows]) == {
        "image/recognition_acc": 1.0,
        "region/recognition_acc": 1.0,
    }


def test_two_questions_under_one_key_are_refused():
    with pytest.raises(BadPredictionsError, match="one question a key"):
        score([Prediction(row("a:0", "count", ("1",)), "1"), Prediction(row("a:0", "count", ("2",)), "2")])


def test_a_pointing_row_without_a_box_is_named():
    with pytest.raises(ValueError, match=r"'a:0'.*without a box"):
        score([Prediction(row("a:0", "pointing"), "", DOG)])


def test_no_predictions_have_no_scores():
    assert score([]) == {}


def test_a_statement_is_judged_consistently_if_it_is_right_of_all_its_pictures():
    """NLVR: of two statements about two pairs each, one is right throughout and one half the time."""
    judged = [("a", "yes", "yes"), ("a", "no", "no"), ("b", "yes", "yes"), ("b", "no", "yes"), ("c", "no", "no")]
    rows = [row(f"p{number}:0", "statement", (true,), extra={"statement": name}) for number, (name, true, _) in enumerate(judged)]
    found = score([Prediction(one, said) for one, (_, _, said) in zip(rows, judged, strict=True)])
    assert found["image/statement_acc"].value == pytest.approx(4 / 5)
    assert found["image/statement_consistency"].value == pytest.approx(2 / 3)
    plain = score([Prediction(row("p:0", "statement", ("yes",)), "yes")])
    assert plain.keys() == {"image/statement_acc"}


@pytest.mark.parametrize("task", ["group_caption", "story", "story_end"])
def test_what_is_said_of_a_group_of_pictures_is_scored_as_a_caption(task):
    truth = ("the dogs are in the snow",)
    found = score([Prediction(row(f"{name}:0", task, truth), truth[0]) for name in "ab"])
    assert found.keys() == {f"image/{task}_{measure}" for measure in ("bleu4", "cider", "rouge_l")}
    assert found[f"image/{task}_rouge_l"].value == 1


def test_a_circular_question_counts_if_every_order_of_its_choices_is_answered_rightly():
    always = [Prediction(row(f"a:{order}", "circular_choice"), "dog") for order in range(4)]
    once = [Prediction(row(f"b:{order}", "circular_choice"), "dog" if order == 0 else "cat") for order in range(4)]
    assert values(always + once) == pytest.approx({"image/circular_choice_acc": 1 / 2, "image/circular_choice_pass_acc": 5 / 8})


@pytest.mark.parametrize(("said_by", "accuracy"), [(0, 0.0), (1, 1 / 3), (2, 2 / 3), (3, 1.0), (9, 1.0)])
def test_a_direct_answer_is_right_as_far_as_three_people_gave_it(said_by, accuracy):
    asked = row("a:0", "direct_answer", ("dog",) * said_by + ("cat",) * (10 - said_by))
    assert values([Prediction(asked, "dog")]) == pytest.approx({"image/direct_answer_acc": accuracy})


def named(key, kind, said, *other_names, **extra):
    return Prediction(row(key, "object_name", (kind, *other_names), Level.REGION, extra=extra or None), said)


def test_objects_are_named_over_boxes_and_in_the_mean_of_their_kinds():
    """PVIT's test on COCO: three of four people and one of two dogs; a hot dog is no dog."""
    people = [named(f"p:{n}", "person", said, "man") for n, said in enumerate(("a man", "person", "two people", "cat"))]
    longer = {"longer_names": {"dog": ["hot dog"]}}
    dogs = [named("d:0", "dog", "It is a dog.", **longer), named("d:1", "dog", "a hot dog", **longer)]
    found = score([*people, *dogs], resamples=50)
    assert found["region/object_name_acc"].value == pytest.approx(4 / 6)
    assert found["region/object_name_class_acc"].value == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert found["region/object_name_class_acc"].low < found["region/object_name_class_acc"].high


def test_a_kind_that_a_draw_misses_does_not_count_in_it():
    """Each kind has one picture and is named rightly or not, so every draw is between 0 and 1, none is undefined."""
    found = score([named(f"{kind}:0", kind, "dog") for kind in ("dog", "cat")], resamples=200)["region/object_name_class_acc"]
    assert (found.value, found.low, found.high) == (0.5, 0.0, 1.0)


@pytest.mark.parametrize("task", ["exact_question", "region_question"])
def test_gqa_compares_letter_by_letter(task):
    """Unlike the accuracy of VQA, which leaves out articles and reads number words as digits."""
    said = {"Dog.": 1, "dog": 1, "a dog": 0, "dogs": 0, "": 0}
    for text, expected in said.items():
        assert values([Prediction(row("a:0", task), text)]) == {f"image/{task}_acc": expected}, text
