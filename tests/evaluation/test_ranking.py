"""People's rankings: what the places of answers say about systems."""

import json

import pytest

from triscope.data.errors import TriscopeError
from triscope.evaluation.ranking import (
    OVERALL,
    Judgement,
    Key,
    agreement,
    rankings_json,
    rankings_table,
    read_key,
    read_rankings,
    score_pairs,
    score_rankings,
)

KEY = Key("p1", {"a:0": ("ours", "theirs", "old"), "b:0": ("old", "ours", "theirs")}, {"a:0": "a", "b:0": "b"})


def saved(path, *rankings: dict, page: str = "p1", judge: str = "Anna"):
    """A file as the page saves it."""
    path.write_text(json.dumps({"schema": 1, "page": page, "judge": judge, "rankings": rankings}))
    return path


def ranked(item: str, *places: int, dimensions=("recognition",)) -> dict:
    """An entry of such a file."""
    return {"item": item, "places": list(places), "dimensions": list(dimensions)}


def judgement(item: str, judge: str = "Anna", dimensions=("recognition",), **places: float) -> Judgement:
    """A ranking of one instruction about a picture of its own."""
    return Judgement(judge, item, item, dimensions, places)


def test_places_go_to_the_systems_whose_answers_stood_there(tmp_path):
    (tmp_path / "key.json").write_text(KEY.to_json())
    key = read_key(tmp_path / "key.json")
    assert key == KEY and key.systems == ["old", "ours", "theirs"]
    first, second = read_rankings(saved(tmp_path / "r.json", ranked("a:0", 1, 2, 3), ranked("b:0", 3, 1, 1)), key)
    assert first.places == {"ours": 1, "theirs": 2, "old": 3}
    assert second.places == {"old": 3, "ours": 1.5, "theirs": 1.5}
    assert (first.judge, first.picture) == ("Anna", "a")


def test_gaps_between_places_say_nothing(tmp_path):
    (one,) = read_rankings(saved(tmp_path / "r.json", ranked("a:0", 2, 3, 3)), KEY)
    assert one.places == {"ours": 1, "theirs": 2.5, "old": 2.5}


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        (ranked("c:0", 1, 2, 3), "item 'c:0'"),
        (ranked("a:0", 1, 2), "places"),
        (ranked("a:0", 1, None, 2), "places"),
        (ranked("a:0", 0, 1, 2), "places"),
        (ranked("a:0", 1, 2, 3, dimensions=["smell"]), "smell"),
        ({"item": "a:0", "dimensions": []}, "places"),
    ],
)
def test_rankings_that_do_not_fit_the_page_are_refused(tmp_path, entry, told):
    with pytest.raises(TriscopeError, match=told):
        read_rankings(saved(tmp_path / "r.json", entry), KEY)


def test_rankings_of_another_page_are_refused(tmp_path):
    with pytest.raises(TriscopeError, match="page 'p2'"):
        read_rankings(saved(tmp_path / "r.json", page="p2"), KEY)
    with pytest.raises(TriscopeError, match="fields of a key"):
        read_key(tmp_path / "r.json")
    (tmp_path / "r.json").write_text("[]")
    with pytest.raises(TriscopeError, match="another layout"):
        read_rankings(tmp_path / "r.json", KEY)


def test_a_system_wins_against_those_that_are_ranked_behind_it():
    judgements = [judgement(str(number), x=1, y=2.5, z=2.5) for number in range(3)] + [judgement("3", x=3, y=1, z=2)]
    scores = score_rankings(judgements)[OVERALL]
    assert scores["x"].wins.value == pytest.approx(3 / 4) and scores["x"].best.value == pytest.approx(3 / 4)
    assert scores["y"].wins.value == pytest.approx((3 * 0.25 + 1) / 4) and scores["y"].place == pytest.approx((3 * 2.5 + 1) / 4)
    assert scores["z"].best.value == 0 and scores["z"].wins.n == 4
    assert sum(score.wins.value for score in scores.values()) == pytest.approx(1.5), "half of the systems' number"
    assert score_pairs(judgements)["x", "y"].value == pytest.approx(0.75)
    assert score_pairs(judgements)["y", "z"].value == pytest.approx((3 * 0.5 + 1) / 4)


def test_a_dimension_is_scored_on_its_own_instructions():
    judgements = [judgement("0", dimensions=("counting", "text"), x=1, y=2), judgement("1", dimensions=("text",), x=2, y=1)]
    scores = score_rankings(judgements)
    assert set(scores) == {OVERALL, "counting", "text"}
    assert scores["counting"]["x"].wins.value == 1 and scores["text"]["x"].wins.value == 0.5


def test_the_interval_narrows_with_pictures_and_not_with_questions_about_one():
    def width(judgements):
        score = score_rankings(judgements)[OVERALL]["x"].wins
        assert score.low <= score.value <= score.high
        return score.high - score.low

    def by_turns(pictures: int, each: int):
        return [
            Judgement("Anna", f"{picture}:{number}", str(picture), ("text",), {"x": 1 + picture % 2, "y": 2 - picture % 2})
            for picture in range(pictures)
            for number in range(each)
        ]

    assert width(by_turns(40, 1)) < 0.75 * width(by_turns(10, 1))
    assert width(by_turns(10, 4)) == pytest.approx(width(by_turns(10, 1)))


def test_judges_agree_where_they_put_two_answers_in_the_same_order():
    anna, ben = judgement("0", "Anna", x=1, y=2, z=3), judgement("0", "Ben", x=1, y=2.5, z=2.5)
    assert agreement([anna, ben, judgement("1", "Ben", x=1, y=2, z=3)]) == (pytest.approx(2 / 3), 3)
    assert agreement([anna]) is None


def test_table_and_json_say_the_same():
    judgements = [judgement(str(number), judge, x=1, y=2) for number in range(3) for judge in ("Anna", "Ben")]
    table, content = rankings_table(judgements), json.loads(rankings_json(judgements))
    assert "3 instructions, 2 judge(s), 6 rankings" in table and "judges agree on 1.000 of 3" in table
    assert content["scores"]["overall"]["x"]["wins"]["value"] == 1 and content["agreement"]["comparisons"] == 3
    assert content["pairs"][0]["first_before_second"]["n"] == 6
