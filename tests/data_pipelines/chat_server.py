"""An OpenAI-compatible endpoint on this machine that also fails as real ones do: late, busy, with broken JSON."""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LATE_SECONDS = 1.0

Messages = list[dict[str, str]]


class ChatServer(ThreadingHTTPServer):
    """Answers chats by `write`, unless a fault is left in `faults`: each is used once, by the next request.

    A fault is `late`, `broken` (JSON cut off), `html`, `no choices`, or (status, headers, body).
    """

    daemon_threads = True

    def __init__(self, write: Callable[[Messages], str]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.write = write
        self.url = f"http://127.0.0.1:{self.server_port}/v1"
        self.faults: list = []
        self.asked: list[tuple[dict, str | None]] = []  # body and key of every request
        self.finish_reason = "stop"
        self.answer_tokens = 50  # that each answer is said to have taken, and 1000 for the prompt
        self.delay_seconds = 0.0
        self.under_way = self.most_under_way = 0
        self.lock = threading.Lock()

    def handle_error(self, request, client_address) -> None:
        """A client that did not wait is no error of the server."""


class _Handler(BaseHTTPRequestHandler):
    server: ChatServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server = self.server
        with server.lock:
            server.asked.append((body, self.headers.get("Authorization")))
            fault = server.faults.pop(0) if server.faults else None
            server.under_way += 1
            server.most_under_way = max(server.most_under_way, server.under_way)
        time.sleep(LATE_SECONDS if fault == "late" else server.delay_seconds)
        text = server.write(body["messages"])
        usage = {"prompt_tokens": 1000, "completion_tokens": server.answer_tokens, "total_tokens": 1000 + server.answer_tokens}
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": server.finish_reason}
        completion = {"id": "1", "object": "chat.completion", "created": 1, "model": body["model"], "choices": [choice]}
        content = json.dumps(completion | {"usage": usage})
        status, headers = 200, {}
        match fault:
            case "broken":
                content = content[: len(content) // 2]
            case "html":
                content = "<html>Welcome</html>"
            case "no choices":
                content = json.dumps(completion | {"choices": []})
            case (status, headers, content):
                pass
        with server.lock:
            server.under_way -= 1
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content.encode())

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""


def echo(messages: Messages) -> str:
    """What the user said last."""
    return f"echo {messages[-1]['content']}"


def write_dialogue(messages: Messages) -> str:
    """A dialogue that keeps to the rules: it points at every region that was given."""
    marks = " ".join(dict.fromkeys(re.findall(r"<region:\d+>", messages[-1]["content"])))
    several = "three" in messages[0]["content"].rpartition("}")[2]
    turns = [
        {"question": f"How do these differ, in respect {number}: {marks}?", "answer": "One is larger than the other."}
        for number in range(3 if several else 1)
    ]
    return json.dumps({"turns": turns})


@contextmanager
def running(write: Callable[[Messages], str]) -> Iterator[ChatServer]:
    """A server that answers while the context lasts."""
    with ChatServer(write) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()
