import random

import pytest

from triscope.data.batch import Row
from triscope.data.boxes import Box
from triscope.data.sample import Level
from triscope.evaluation.guesses import guess_levels, learned
from triscope.evaluation.intervals import Score
from triscope.evaluation.predictions import Prediction
from triscope.evaluation.tasks import score

LEFT, RIGHT, WHOLE = (0.0, 0.0, 0.4, 1.0), (0.6, 0.0, 1.0, 1.0), (0.0, 0.0, 1.0, 1.0)
OBJECTS = [{"name": "dog", "box": LEFT, "color": "red"}, {"name": "cat", "box": RIGHT, "color": "blue"}]


def row(key, task, answers, prompt="What is it?", objects=OBJECTS, **fields):
    extra = {"objects": objects} if objects else None
    return Row(key=key, task=task, level=Level.REGION, prompt=prompt, answers=answers, extra=extra, **fields)


def test_the_best_constant_is_the_most_frequent_answer():
    answers = ["yes", "no", "no", "Yes.", "yes"]
    rows = [row(f"{number}:0", "yes_no", (answer,)) for number, answer in enumerate(answers)]
    assert guess_levels(rows) == {"region/yes_no_acc": {"constant": 0.6}}


def test_the_best_constant_of_vqa_follows_the_people():
    rows = [row("a:0", "question", ("red",) * 4 + ("blue",) * 6), row("b:0", "question", ("red",) * 5 + ("pink",) * 5)]
    assert guess_levels(rows)["region/question_vqa_acc"]["constant"] == pytest.approx(1.0)


def test_no_other_constant_beats_the_one_that_is_found():
    generator = random.Random(0)
    rows = [row(f"{number}:0", "count", (str(generator.choice([1, 2, 2, 3, 4])),)) for number in range(40)]
    best = max(score([Prediction(item, str(n)) for item in rows], 0)["region/count_acc"].value for n in range(1, 5))
    assert guess_levels(rows)["region/count_acc"]["constant"] == best


def test_the_best_constant_box_hits_most_often():
    boxes = [LEFT, LEFT, LEFT, RIGHT, WHOLE]
    rows = [row(f"{number}:0", "pointing", ("[]",), box=Box(*box)) for number, box in enumerate(boxes)]
    levels = guess_levels(rows)
    assert levels["region/pointing_acc@0.5"]["constant"] == pytest.approx(3 / 5)
    assert levels["region/pointing_mean_iou"]["constant"] == pytest.approx((3 + 0 + 0.4) / 5)
    assert levels["region/pointing_well_formed"]["constant"] == 1.0


def test_the_mean_box_is_tried_too():
    # Each corner box overlaps the next by a third; their mean, the middle one, overlaps both by more than a half.
    rows = [row(f"{x}:0", "pointing", ("[]",), box=Box(x, 0.0, x + 0.4, 1.0)) for x in (0.1, 0.3)]
    assert guess_levels(rows)["region/pointing_acc@0.5"]["constant"] == 1.0


def test_any_object_of_the_picture_is_right_as_often_as_its_share():
    three = [*OBJECTS, {"name": "dog", "box": WHOLE}]
    rows = [row("a:0", "recognition", ("cat",)), row("b:0", "recognition", ("dog",), objects=three)]
    assert guess_levels(rows)["region/recognition_acc"]["any_object"] == pytest.approx((1 / 2 + 2 / 3) / 2)


def test_any_box_of_the_picture_hits_as_often_as_its_share():
    rows = [row("a:0", "pointing", ("[]",), box=Box(*LEFT))]
    levels = guess_levels(rows)
    assert levels["region/pointing_acc@0.5"]["any_object"] == 0.5
    assert levels["region/pointing_mean_iou"]["any_object"] == 0.5


def test_a_relation_is_guessed_among_the_objects_that_the_question_does_not_name():
    three = [*OBJECTS, {"name": "traffic light", "box": WHOLE}]
    prompt = "What is left of the traffic light?"
    assert guess_levels([row("a:0", "relation", ("dog",), prompt, three)])["region/relation_acc"]["any_object"] == 0.5
    by_region = row("a:0", "relation", ("dog",), "What is left of <region:1>?", regions=(Box(*RIGHT),))
    assert guess_levels([by_region])["region/relation_acc"]["any_object"] == 1.0


def test_a_count_is_guessed_from_any_kind_and_a_color_from_any_object():
    three = [*OBJECTS, {"name": "dog", "box": WHOLE}]
    assert guess_levels([row("a:0", "count", ("2",), objects=three)])["region/count_acc"]["any_object"] == 0.5
    assert guess_levels([row("a:0", "color", ("red",))])["region/color_acc"]["any_object"] == 0.5


def test_rows_without_known_objects_have_no_such_guess():
    assert guess_levels([row("a:0", "recognition", ("dog",), objects=None)]) == {"region/recognition_acc": {"constant": 1.0}}


def test_a_caption_is_guessed_by_a_caption_of_another_picture():
    texts = {"a:0": "a red dog sits here", "b:0": "two boats at the sea", "c:0": "a red dog sits there"}
    levels = guess_levels([row(key, "caption", (text,)) for key, text in texts.items()])
    swapped = {"a:0": texts["b:0"], "b:0": texts["c:0"], "c:0": texts["a:0"]}
    expected = score([Prediction(row(key, "caption", (texts[key],)), swapped[key]) for key in texts], resamples=0)
    assert {name: level["other_answer"] for name, level in levels.items()} == pytest.approx(
        {name: value.value for name, value in expected.items()}
    )
    assert levels["region/caption_rouge_l"]["constant"] == pytest.approx((1 + 0.8) / 3)


def test_a_description_is_guessed_by_another_region_of_the_same_picture():
    rows = [
        row("a:0", "description", ("red dog",)),
        row("a:1", "description", ("red cat",)),
        row("b:0", "description", ("sea",)),
    ]
    levels = guess_levels(rows)
    assert levels["region/description_rouge_l"]["other_answer"] == pytest.approx(0.5)  # red, of the two rows of picture a
    assert levels["region/description_acc"] == {"constant": pytest.approx(1 / 3), "other_answer": 0.0}


def test_guesses_have_the_names_of_the_scores_whatever_the_order():
    rows = [
        row("a:0", "recognition", ("dog",)),
        row("a:1", "pointing", ("[]",), box=Box(*LEFT)),
        row("b:0", "caption", ("a dog",)),
    ]
    assert guess_levels(rows).keys() == score([Prediction(item, "") for item in rows]).keys()
    assert guess_levels(rows) == guess_levels(rows[::-1] + rows)


def test_a_score_is_learned_only_if_its_lower_bound_is_above_every_guess_and_control():
    sure, unsure = Score(0.7, 100, low=0.6, high=0.8), Score(0.7, 10, low=0.4, high=0.9)
    guesses, controls = {"constant": 0.5, "any_object": 0.3}, {"blind": 0.55}
    assert learned(sure, guesses, controls)
    assert not learned(unsure, guesses, controls)
    assert not learned(sure, guesses, controls | {"shuffled": 0.6})
    assert not learned(sure, guesses | {"any_object": 0.65}, controls)


def test_a_score_without_an_interval_is_not_judged():
    with pytest.raises(ValueError, match="no interval"):
        learned(Score(0.9, 10), {"constant": 0.5}, {})


def test_a_rank_is_learned_if_its_upper_bound_is_below_every_guess_and_control():
    sure = Score(5.0, 10, 4.0, 6.0)
    assert learned(sure, {"constant": 40.0}, {"blind": 20.0}, less_is_better=True)
    assert not learned(sure, {"constant": 40.0}, {"blind": 5.5}, less_is_better=True)


def test_any_of_the_listed_answers_is_a_guess():
    rows = [
        Row(f"a:{number}", "choice", Level.IMAGE, "Which?", (right,), listed)
        for number, (right, listed) in enumerate([("cat", ("cat", "dog")), ("red", ("red", "green", "blue", "grey"))])
    ]
    assert guess_levels(rows)["image/choice_acc"]["any_candidate"] == pytest.approx((1 / 2 + 1 / 4) / 2)


@pytest.mark.parametrize(("right", "best"), [(("dog", "dog"), "constant"), (("dog", "cat", "cow"), "any_candidate")])
def test_the_best_guess_stands_first(right, best):
    rows = [Row(f"a:{name}", "choice", Level.IMAGE, "Which?", (name,), (name, "other")) for name in right]
    assert next(iter(guess_levels(rows)["image/choice_acc"])) == best


def test_a_score_without_a_guess_to_compare_is_not_judged():
    with pytest.raises(ValueError, match="no guess level"):
        learned(Score(0.9, 10, 0.8, 1.0), {}, {"blind": 0.2})


def test_of_several_pictures_any_object_is_one_of_the_picture_that_is_asked_about():
    pictures = [*({**item, "image": 0} for item in OBJECTS), {"name": "dog", "box": WHOLE, "image": 1}]
    rows = [row("a:0", "pointing_shared", ("[]",), objects=pictures, box=Box(*LEFT))]
    assert guess_levels(rows)["region/pointing_shared_acc@0.5"]["any_object"] == pytest.approx(1 / 2)


def test_what_one_of_several_pictures_tells_is_a_guess_of_accuracies_alone():
    def of_albums(key: str, task: str) -> Row:
        return Row(key=key, task=task, level=Level.IMAGE, prompt="", answers=("first",), extra={"one_picture": [0.5, 2 / 3]})

    rows = [of_albums("a:0", "which_picture"), of_albums("b:1", "which_picture"), of_albums("c:0", "story_end")]
    levels = guess_levels(rows)
    assert levels["image/which_picture_acc"]["one_picture"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert not any("one_picture" in guesses for name, guesses in levels.items() if "story_end" in name)
