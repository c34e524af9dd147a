"""Language models behind an endpoint that fails as real ones do, and on this machine."""

import json
import time

import pytest

from data_pipelines.language_models import KEY_VARIABLE, Endpoint, LocalChat, Message, NoReply, Reply, Request
from tests.data_pipelines.chat_server import echo, running
from triscope.data.errors import ConfigurationError


@pytest.fixture
def server():
    """A server that echoes what the user said last."""
    with running(echo) as server:
        yield server


def endpoint(server, **changes) -> Endpoint:
    """That server, with short waits."""
    return Endpoint(server.url, "some-model", **{"first_wait_seconds": 0.01, "timeout_seconds": 20.0} | changes)


def requests(count: int) -> list[Request]:
    """Different ones."""
    return [Request((Message("system", "Be brief."), Message("user", f"question {number}")), number) for number in range(count)]


def replies(chat, asked: list[Request]) -> dict[Request, Reply | NoReply]:
    """All that is handed over."""
    kept: dict[Request, Reply | NoReply] = {}
    chat.ask(asked, kept.__setitem__)
    return kept


def test_every_request_is_answered_once_with_what_it_took(server):
    asked = requests(5)
    kept = replies(endpoint(server), asked)
    assert kept == {request: Reply(f"echo question {number}", 1000, 50) for number, request in enumerate(asked)}
    bodies = sorted((body for body, _ in server.asked), key=lambda body: body["seed"])
    assert [body["seed"] for body in bodies] == [0, 1, 2, 3, 4]
    assert bodies[3]["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "question 3"},
    ]
    assert bodies[3]["model"] == "some-model" and bodies[3]["max_tokens"] == 200


def test_replies_to_prompts_come_in_their_order_or_not_at_all(server):
    prompts = [f"prompt {number}" for number in range(12)]
    assert endpoint(server, concurrent=4).reply(prompts, list(range(12))) == [f"echo {prompt}" for prompt in prompts]
    server.faults += [(400, {}, json.dumps({"error": {"message": "too long"}}))]
    with pytest.raises(ConfigurationError, match="too long"):
        endpoint(server).reply(["hello"], [0])


def test_no_more_requests_are_under_way_than_allowed(server):
    server.delay_seconds = 0.1
    replies(endpoint(server, concurrent=3), requests(9))
    assert server.most_under_way == 3


def test_requests_are_read_no_further_ahead_than_can_be_under_way(server):
    read: list[Request] = []
    ahead: list[int] = []

    def reading():
        for request in requests(6):
            read.append(request)
            yield request

    endpoint(server, concurrent=2).ask(reading(), lambda *_: ahead.append(len(read) - len(ahead)))
    assert max(ahead) <= 2 and len(ahead) == 6


def test_the_key_comes_from_the_environment(server, monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, "not-a-key")
    replies(endpoint(server), requests(1))
    assert server.asked[0][1] == "Bearer not-a-key"


BUSY, DOWN = (429, {}, "{}"), (503, {}, "not JSON")


@pytest.mark.parametrize("fault", [BUSY, DOWN, "broken", "html", "no choices"], ids=str)
def test_a_fault_that_may_pass_is_asked_about_again(server, fault):
    server.faults += [fault, fault]
    (reply,) = replies(endpoint(server), requests(1)).values()
    assert reply == Reply("echo question 0", 1000, 50) and len(server.asked) == 3


def test_an_answer_that_does_not_come_in_time_is_asked_for_again(server):
    server.faults += ["late"]
    (reply,) = replies(endpoint(server, timeout_seconds=0.5), requests(1)).values()
    assert isinstance(reply, Reply) and len(server.asked) == 2


def test_waits_double_and_are_as_long_as_the_server_asks_for(server, monkeypatch):
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    server.faults += [DOWN, DOWN, DOWN, (429, {"Retry-After": "7"}, "{}")]
    replies(endpoint(server, first_wait_seconds=1.0), requests(1))
    assert [wait for wait in waits if wait] == pytest.approx([1, 2, 4, 8], rel=0.25)  # 0 are the server's own
    waits.clear()
    server.faults += [(429, {"Retry-After": "7"}, "{}")]
    replies(endpoint(server, first_wait_seconds=1.0), requests(1))
    assert [wait for wait in waits if wait] == [7]


def test_who_gives_up_says_why_and_after_how_many_attempts(server):
    server.faults += [DOWN] * 3
    (reply,) = replies(endpoint(server, attempts=3), requests(1)).values()
    assert isinstance(reply, NoReply) and "503" in reply.problem and "3 attempts" in reply.problem


def test_a_request_that_the_server_refuses_is_not_repeated_and_others_go_on(server):
    server.faults += [(400, {}, json.dumps({"error": {"message": "too long"}}))]
    kept = list(replies(endpoint(server, concurrent=1), requests(2)).values())
    assert isinstance(kept[0], NoReply) and "too long" in kept[0].problem and isinstance(kept[1], Reply)
    assert len(server.asked) == 2


QUOTA = json.dumps({"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}})


@pytest.mark.parametrize("fault", [(401, {}, "{}"), (404, {}, "{}"), (429, {}, QUOTA)], ids=["key", "address", "quota"])
def test_a_server_that_would_answer_nothing_ends_the_work(server, fault):
    server.faults += [fault]
    with pytest.raises(ConfigurationError, match=f"status {fault[0]}"):
        replies(endpoint(server, concurrent=1), requests(5))
    assert len(server.asked) == 1


def test_an_address_where_nobody_listens_is_no_answer():
    (reply,) = replies(Endpoint("http://127.0.0.1:9/v1", "some-model", attempts=1), requests(1)).values()
    assert isinstance(reply, NoReply) and "Connection" in reply.problem


def test_an_answer_that_hit_the_limit_is_marked(server):
    server.finish_reason = "length"
    (reply,) = replies(endpoint(server), requests(1)).values()
    assert reply.cut_off


def test_what_is_under_way_when_the_keeper_stops_is_still_handed_over(server):
    server.delay_seconds = 0.2
    kept = []

    def keep(request: Request, reply: Reply | NoReply) -> None:
        kept.append(request)
        raise InterruptedError

    with pytest.raises(InterruptedError):
        endpoint(server, concurrent=4).ask(requests(20), keep)
    assert len(kept) == len(server.asked) == 4


def test_a_model_on_this_machine_answers_a_batch_at_a_time(tmp_path):
    from transformers import AutoConfig, AutoModelForCausalLM  # slow to import, and the other tests need none of it

    from data_pipelines.vocabulary import write_untrained_language

    folder = write_untrained_language(["Where is the cat? On the mat."], tmp_path, 300, width=16, layers=1, heads=2)
    AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder)).save_pretrained(folder)
    chat = LocalChat(str(folder), batch_size=2, max_tokens=5)
    kept = replies(chat, requests(3))
    assert list(kept) == requests(3)
    assert all(reply.prompt_tokens > 5 and reply.answer_tokens <= 5 for reply in kept.values())
    assert kept == replies(chat, requests(3)), "the same seeds, the same answers"
    assert chat.name == str(folder)


def test_a_model_that_is_not_there_is_told(tmp_path):
    chat = LocalChat(str(tmp_path / "nowhere"))
    with pytest.raises(ConfigurationError, match=r"--model: found no model .*nowhere.*expected a Hugging Face folder"):
        replies(chat, requests(1))
