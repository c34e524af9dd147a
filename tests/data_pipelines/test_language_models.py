"""An OpenAI-compatible endpoint, played by a server of this machine."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from data_pipelines.language_models import KEY_VARIABLE, Endpoint
from triscope.data.errors import ConfigurationError


@pytest.fixture
def server():
    """A server that gives its `answers` (status, body) in turn, then echoes; it keeps what it was asked in `asked`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.server.asked.append((self.path, body, self.headers.get("Authorization")))
            said = f"echo {body['messages'][0]['content']} {body['seed']}"
            echo = (200, json.dumps({"choices": [{"message": {"content": said}}]}))
            status, content = self.server.answers.pop(0) if self.server.answers else echo
            self.send_response(status)
            self.end_headers()
            self.wfile.write(content.encode())

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.asked, http.answers = [], []
        http.url = f"http://127.0.0.1:{http.server_port}/v1"
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield http
        http.shutdown()


def test_replies_come_in_the_order_of_the_prompts_each_with_its_seed(server):
    prompts = [f"prompt {number}" for number in range(12)]
    replies = Endpoint(server.url, "some-model", batch_size=4).reply(prompts, list(range(12)))
    assert replies == [f"echo prompt {number} {number}" for number in range(12)]
    path, body, key = server.asked[0]
    assert path == "/v1/chat/completions" and body["model"] == "some-model" and key is None


def test_the_key_comes_from_the_environment(server, monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, "not-a-key")
    Endpoint(server.url, "some-model").reply(["hello"], [0])
    assert server.asked[0][2] == "Bearer not-a-key"


def test_a_busy_server_is_asked_again(server):
    server.answers += [(429, ""), (503, "")]
    endpoint = Endpoint(server.url, "some-model", first_wait_seconds=0.01)
    assert endpoint.reply(["hello"], [5]) == ["echo hello 5"] and len(server.asked) == 3


@pytest.mark.parametrize(
    ("answers", "told", "times"),
    [([(401, "")], "status 401", 1), ([(500, "")] * 2, "status 500", 2), ([(200, "<html>")], "answer that starts with", 1)],
)
def test_what_a_server_will_not_answer_is_told(server, answers, told, times):
    server.answers += answers
    with pytest.raises(ConfigurationError, match=told):
        Endpoint(server.url, "some-model", attempts=2, first_wait_seconds=0.01).reply(["hello"], [0])
    assert len(server.asked) == times


def test_an_address_where_nobody_listens_is_told():
    with pytest.raises(ConfigurationError, match=r"127\.0\.0\.1:9"):
        Endpoint("http://127.0.0.1:9/v1", "some-model", attempts=1).reply(["hello"], [0])
