"""From annotated pictures to a set of dialogues, with a model behind a server that fails now and then."""

import json

import pytest

from data_pipelines.__main__ import main
from data_pipelines.generate.kinds import GENERAL, KINDS, MULTI_TURN, SMALL_OBJECTS
from data_pipelines.generate.plan import read_plan, write_plan
from data_pipelines.generate.run import Choice, Prices, estimate, generate
from data_pipelines.language_models import Endpoint
from data_pipelines.lint import lint
from tests.data_pipelines.chat_server import running, write_dialogue
from tests.data_pipelines.generate.annotated import BOXES, HEIGHT, WIDTH, write_annotated
from triscope.data.boxes import BoxSpace
from triscope.data.errors import BadShardError, ConfigurationError, TriscopeError
from triscope.data.shards import ShardSet

PRICES = Prices(prompt=10.0, answer=100.0)  # an answer of 1000 and 50 tokens then costs 0.015


@pytest.fixture
def server():
    """A server that writes good dialogues."""
    with running(write_dialogue) as server:
        yield server


@pytest.fixture
def folders(tmp_path):
    """Eight annotated pictures."""
    return write_annotated(tmp_path / "annotated", 8)


def chat(server, **changes) -> Endpoint:
    """That server, with short waits."""
    return Endpoint(server.url, "some-model", **{"first_wait_seconds": 0.01, "attempts": 3} | changes)


def run(tmp_path, folders, model, choice=Choice(), **changes):  # noqa: B008, it is frozen
    """Generate, saying nothing."""
    return generate(folders, tmp_path / "out", tmp_path / "work", model, choice, say=lambda _: None, **changes)


def test_dialogues_stand_beside_their_pictures_with_the_regions_that_they_point_at(tmp_path, folders, server):
    server.faults += [(429, {}, "{}"), "broken", (503, {}, ""), "html"]
    report = run(tmp_path, folders, chat(server), Choice((SMALL_OBJECTS, MULTI_TURN), per_picture=2))
    assert report.written == {"small_objects": 8, "multi_turn": 8} and report.pictures_written == 8
    assert not report.rejected and not report.unanswered
    shards = ShardSet.open(tmp_path / "out")
    originals = {raw.key: raw.images for raw in ShardSet.open(folders[0])}
    assert {raw.key: raw.images for raw in shards} == originals
    sample, _ = next(iter(shards)).parse()
    assert sample.source == "generated" and sample.extra == {"pictures_of": "made up", "written_by": "some-model"}
    boxes = [region.box.to(BoxSpace.PIXELS, WIDTH, HEIGHT).corners for region in sample.regions]
    assert sorted(tuple(map(round, box)) for box in boxes) == sorted(BOXES)
    assert {len(conversation.turns) for conversation in sample.conversations} == {1, 3}
    assert not lint(tmp_path / "out", workers=1).faults


def test_the_model_is_told_the_rules_shown_two_examples_and_given_the_facts(tmp_path, folders, server):
    run(tmp_path, folders, chat(server), Choice((SMALL_OBJECTS,), count=1))
    ((body, _),) = server.asked
    assert [message["role"] for message in body["messages"]] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert SMALL_OBJECTS.told in body["messages"][0]["content"]
    assert json.loads(body["messages"][2]["content"])["turns"][0]["question"].startswith("Look closely at <region:5>")
    assert "<region:3> bird" in body["messages"][-1]["content"] and "Two dogs on a lawn." in body["messages"][-1]["content"]


def test_what_does_not_pass_is_kept_with_the_reason(tmp_path, folders, server):
    good = iter([True, False] * 4)
    server.write = lambda messages: write_dialogue(messages) if next(good) else '{"turns": [{"question": "Why?"'
    report = run(tmp_path, folders, chat(server, concurrent=1))
    assert sum(report.written.values()) == 4 and report.rejected == {"json_broken": 4}
    rejected = [json.loads(line) for line in (tmp_path / "work" / "rejected.jsonl").read_text().splitlines()]
    assert len(rejected) == 4 and rejected[0]["reason"] == "json_broken" and rejected[0]["reply"].startswith('{"turns"')
    assert "json_broken" in report.text() and "regions-" in report.text()
    assert json.loads((tmp_path / "out" / "report.json").read_text())["rejected"] == {"json_broken": 4}


def test_an_answer_that_was_cut_off_is_not_used(tmp_path, folders, server):
    server.finish_reason = "length"
    with pytest.raises(TriscopeError, match=r"no dialogue that passes.*cut_off"):
        run(tmp_path, folders, chat(server))
    assert not [path.name for path in tmp_path.iterdir() if "out" in path.name]


def test_nothing_is_paid_for_twice(tmp_path, folders, server):
    server.faults += [None] * 3 + [(401, {}, "{}")]
    with pytest.raises(ConfigurationError):
        run(tmp_path, folders, chat(server, concurrent=1))
    assert len(server.asked) == 4 and not (tmp_path / "out").exists()
    run(tmp_path, folders, chat(server))
    assert len(server.asked) == 4 + 5
    first = [raw.json for raw in ShardSet.open(tmp_path / "out")]
    (tmp_path / "out").rename(tmp_path / "before")
    run(tmp_path, folders, chat(server))
    assert len(server.asked) == 9 and [raw.json for raw in ShardSet.open(tmp_path / "out")] == first


def test_requests_without_an_answer_are_counted_asked_again_and_stop_the_work_when_they_are_many(tmp_path, folders, server):
    refused = (400, {}, json.dumps({"error": {"message": "content filter"}}))
    server.faults += [refused] * 2
    assert run(tmp_path, folders, chat(server), unanswered_allowed=2).unanswered == 2
    (tmp_path / "out").rename(tmp_path / "before")
    assert run(tmp_path, folders, chat(server)).unanswered == 0 and len(server.asked) == 10
    server.faults += [refused] * 8
    with pytest.raises(TriscopeError, match=r"2 requests without an answer.*content filter"):
        generate(folders, tmp_path / "other", tmp_path / "new", chat(server, concurrent=1), Choice(), unanswered_allowed=1)
    assert len(server.asked) == 12


def test_the_estimate_is_said_first_and_learns_from_what_was_paid(tmp_path, folders, server):
    expected = estimate(folders, tmp_path / "work", chat(server), Choice((GENERAL,)))
    assert not server.asked and (expected.requests, expected.answered, expected.measured) == (8, 0, False)
    assert 8 * 500 < expected.prompt_tokens < 8 * 5000
    assert 8 * 50 < expected.answer_tokens < expected.most_answer_tokens == 8 * 200
    run(tmp_path, folders, chat(server), Choice((GENERAL,), count=4))
    expected = estimate(folders, tmp_path / "work", chat(server), Choice((GENERAL,)))
    assert (expected.requests, expected.answered, expected.measured) == (4, 4, True)
    assert expected.prompt_tokens == pytest.approx(4000, rel=0.02) and expected.answer_tokens == 200
    assert "8 dialogues: general 8" in expected.text(PRICES) and "paid earlier: 0.06" in expected.text(PRICES)
    assert "cost: not known without --prompt_price" in expected.text(Prices())


def test_nothing_is_asked_beyond_the_cost_that_is_allowed(tmp_path, folders, server):
    with pytest.raises(TriscopeError, match=r"max_cost.*nothing was asked"):
        run(tmp_path, folders, chat(server), prices=PRICES, max_cost=0.01)
    assert not server.asked
    server.answer_tokens = 500  # where the estimate expects less than a hundred
    expected = estimate(folders, tmp_path / "work", chat(server), Choice((SMALL_OBJECTS,)))
    by_answers = Prices(answer=1000.0)
    with pytest.raises(TriscopeError, match=r"max_cost.* paid"):
        run(
            tmp_path,
            folders,
            chat(server, concurrent=1),
            Choice((SMALL_OBJECTS,)),
            prices=by_answers,
            max_cost=1.01 * expected.cost(by_answers),
        )
    assert 0 < len(server.asked) < 8


def test_a_folder_that_holds_something_is_refused_before_anything_is_asked(tmp_path, folders, server):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").touch()
    with pytest.raises(BadShardError, match="empty folder"):
        run(tmp_path, folders, chat(server))
    assert not server.asked


def test_a_plan_is_the_same_for_the_same_seed_and_keeps_to_its_limits(tmp_path, folders):
    kinds = list(KINDS.values())
    report = write_plan(tmp_path / "a", folders, kinds, per_picture=2, count=3, seed=1)
    write_plan(tmp_path / "b", folders, kinds, per_picture=2, count=3, seed=1)
    write_plan(tmp_path / "c", folders, kinds, per_picture=2, count=3, seed=2)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() != (tmp_path / "c").read_bytes()
    assert max(report.dialogues.values()) <= 3 and report.pictures == 8
    pairs = [(planned.key, planned.kind) for planned in read_plan(tmp_path / "a")]
    assert len(set(pairs)) == len(pairs) == report.dialogues.total()


def test_pictures_that_suit_no_kind_are_refused_with_what_is_missing(tmp_path, folders):
    with pytest.raises(TriscopeError, match="no picture of 8 that suits text_in_picture"):
        write_plan(tmp_path / "plan", folders, [KINDS["text_in_picture"]], 1, None, 0)


def test_the_command_estimates_asks_and_reports(tmp_path, folders, server, capsys):
    words = ["generate", *map(str, folders), "--out", str(tmp_path / "out"), "--endpoint", server.url, "--model", "some-model"]
    assert main([*words, "--kinds", "general", "--answer_price", "100", "--estimate"]) == 0
    assert not server.asked and "8 to ask" in capsys.readouterr().out
    assert main([*words, "--kinds", "general", "--count", "2"]) == 0
    assert "2 pictures with 2 dialogues written: general 2" in capsys.readouterr().out
    assert (tmp_path / "out.work" / "replies.jsonl").is_file()
