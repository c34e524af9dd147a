"""Every answer of a language model, kept as soon as it is there: what was paid for once is not paid for again.

    FOLDER/replies.jsonl    an answer a line, named by a hash of what was asked of which model

A line is whole or, if its process was killed while it was written, forgotten.
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from data_pipelines.language_models import CHARACTERS_A_TOKEN, Chat, Reply, Request
from triscope.data.errors import TriscopeError

REPLIES_FILE = "replies.jsonl"


@dataclass
class Paid:
    """Sums over the answers of a journal."""

    replies: int = 0
    prompt_characters: int = 0
    prompt_tokens: int = 0
    answer_tokens: int = 0

    @property
    def characters_a_token(self) -> float:
        """Measured, or a rule of thumb."""
        return self.prompt_characters / self.prompt_tokens if self.prompt_tokens else CHARACTERS_A_TOKEN


class Journal:
    """The answers of a folder; opened once at a time, closed as a context.

    Memory holds where each answer starts in the file, not the answers.

    Args:
        folder: made if absent.
        chat: the model; the same question to another model, or with other sampling, is another question.

    Raises:
        TriscopeError: a line that is no answer, other than a last one that was cut off when its process was killed.
    """

    def __init__(self, folder: Path, chat: Chat) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / REPLIES_FILE
        self.paid = Paid()
        self._asked_of = f"{chat.name} {chat.temperature} {chat.max_tokens}"
        self._starts: dict[bytes, int] = {}
        self._file = self.path.open("a+b")
        self._read()

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()

    def __contains__(self, request: Request) -> bool:
        return bytes.fromhex(self._name(request)) in self._starts

    def keep(self, request: Request, reply: Reply) -> None:
        """Store an answer; it is on the disk when this returns."""
        record = {"request": self._name(request), "prompt_characters": request.characters, **asdict(reply)}
        start = self._file.seek(0, os.SEEK_END)
        self._file.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._count(record, start)

    def reply(self, request: Request) -> Reply | None:
        """The answer to a request, if there is one."""
        start = self._starts.get(bytes.fromhex(self._name(request)))
        if start is None:
            return None
        self._file.seek(start)
        record = json.loads(self._file.readline())
        return Reply(**{name: record[name] for name in ("text", "prompt_tokens", "answer_tokens", "cut_off")})

    def _read(self) -> None:
        self._file.seek(0)
        start = 0
        for number, line in enumerate(self._file, start=1):
            if not line.endswith(b"\n"):
                self._file.truncate(start)
                return
            try:
                self._count(json.loads(line), start)
            except (ValueError, KeyError, TypeError) as error:
                where, found = f"{self.path}, line {number}", f"{type(error).__name__} {error}"
                raise TriscopeError(where, found, "an answer of a language model", "take the line out") from None
            start += len(line)

    def _count(self, record: dict, start: int) -> None:
        self._starts[bytes.fromhex(record["request"])] = start
        self.paid.replies += 1
        self.paid.prompt_characters += record["prompt_characters"]
        self.paid.prompt_tokens += record["prompt_tokens"]
        self.paid.answer_tokens += record["answer_tokens"]

    def _name(self, request: Request) -> str:
        asked = json.dumps([self._asked_of, asdict(request)], ensure_ascii=False)
        return hashlib.blake2b(asked.encode(), digest_size=16).hexdigest()
