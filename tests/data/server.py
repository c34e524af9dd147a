"""A web server on this machine that serves a folder, badly if told so."""

import re
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class BadServer(ThreadingHTTPServer):
    """Serves the files of a folder, in ranges.

    Attributes:
        faults: what happens to the next requests for tars: "stall", "truncate", "reset", "503", or "" for a good answer.
        requests: how often each path was asked for.
        sent: bytes of content sent of each path.
        ranges: whether ranges are known.
    """

    daemon_threads = True

    def __init__(self, folder: Path, handler: type["Handler"]) -> None:
        super().__init__(("localhost", 0), handler)
        self.folder = folder
        self.faults: list[str] = []
        self.requests: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()
        self.ranges = True

    @property
    def address(self) -> str:
        return f"http://localhost:{self.server_port}/set"

    def handle_error(self, request, client_address) -> None:
        """A client that hangs up is what the tests want."""


class Handler(BaseHTTPRequestHandler):
    """Answers with the file of the folder that the last part of a path names."""

    protocol_version = "HTTP/1.1"
    server: BadServer

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2]
        self.server.requests[name] += 1
        path = self.server.folder / name
        if not path.is_file():
            return self._answer(404, b"")
        fault = self.server.faults.pop(0) if self.server.faults and name.endswith(".tar") else ""
        content, status = path.read_bytes(), 200
        if self.server.ranges and (asked := re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))):
            content, status = content[int(asked[1]) : int(asked[2]) + 1], 206
        if fault == "503":
            return self._answer(503, b"busy")
        if fault == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            return None
        self.server.sent[name] += len(content)
        if fault == "truncate":
            self.close_connection = True
            return self._answer(status, content[: len(content) // 2], len(content))
        if fault == "stall":
            time.sleep(3)
            self.close_connection = True
        return self._answer(status, content)

    def _answer(self, status: int, content: bytes, length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *told: object) -> None:
        """Quiet."""


@contextmanager
def serving(folder: Path, handler: type[Handler] = Handler) -> Iterator[BadServer]:
    """A server of a folder while the block runs."""
    server = BadServer(folder, handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
