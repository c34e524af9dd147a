"""Language models that answer chats: one behind an OpenAI-compatible endpoint, or one on this machine."""

import math
import os
import random
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

from triscope.data.errors import ConfigurationError

if TYPE_CHECKING:
    import openai

KEY_VARIABLE = "OPENAI_API_KEY"  # of the environment; endpoints on one's own machine need none
CHARACTERS_A_TOKEN = 4  # of English, roughly; used before anything was measured
LONGEST_WAIT_SECONDS = 60.0
_BUSY = (408, 409, 425, 429)  # and 500 to 599: worth asking again
_SAME_FOR_ALL = (401, 402, 403, 404)  # key, account, address or name of the model: no other request would be answered


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Request:
    """A chat to be answered.

    Args:
        messages: the last one is the user's.
        seed: of the sampling. Whether a seed repeats an answer is up to the server.
    """

    messages: tuple[Message, ...]
    seed: int = 0

    @property
    def characters(self) -> int:
        """Of all messages."""
        return sum(len(message.content) for message in self.messages)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, which was paid for.

    Args:
        text: as written.
        prompt_tokens, answer_tokens: read and written.
        cut_off: it ended at the limit of tokens.
    """

    text: str
    prompt_tokens: int
    answer_tokens: int
    cut_off: bool = False


@dataclass(frozen=True, slots=True)
class NoReply:
    """No answer after all attempts, and the last reason for it."""

    problem: str


Keep = Callable[[Request, Reply | NoReply], None]


class Chat(ABC):
    """A language model; a frozen dataclass of how it is asked."""

    model: str
    max_tokens: int
    temperature: float

    @property
    def name(self) -> str:
        """The model's, stored with what it wrote; where it runs is nobody's business."""
        return self.model

    @abstractmethod
    def ask(self, requests: Iterable[Request], keep: Keep) -> None:
        """Answer requests, in any order.

        Args:
            requests: read no further ahead than can be under way.
            keep: is handed each answer as soon as it is there, one at a time; an error that it raises ends the work, and
                what is under way then is still handed over.

        Raises:
            ConfigurationError: no request at all would be answered.
        """

    def reply(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[str]:
        """An answer to each prompt, drawn with its seed.

        Raises:
            ConfigurationError: a prompt that is not answered.
        """
        requests = [Request((Message("user", prompt),), seed) for prompt, seed in zip(prompts, seeds, strict=True)]
        texts: dict[Request, str] = {}

        def keep(request: Request, reply: Reply | NoReply) -> None:
            if isinstance(reply, NoReply):
                remedy = "check the address and the model's name; what was made is kept, so run the command again"
                raise ConfigurationError(self.name, reply.problem, "an answer", remedy)
            texts[request] = reply.text

        self.ask(requests, keep)
        return [texts[request] for request in requests]


@dataclass(frozen=True)
class Endpoint(Chat):
    """A server with `POST URL/chat/completions`, such as vLLM, llama.cpp, Ollama or OpenAI.

    Args:
        url: such as `http://localhost:8000/v1`.
        model: its name there.
        concurrent: requests under way at a time.
        max_tokens: of an answer.
        temperature: of the sampling.
        attempts: at a request while the server is busy, does not answer, or answers what cannot be read.
        first_wait_seconds: before the second attempt; each later wait is twice as long, up to a minute, and at least as
            long as the server asks for. Waits are spread by a quarter so that requests do not come back all at once.
        timeout_seconds: of an attempt.

    Raises:
        ConfigurationError: the package `openai` is not installed.
    """

    url: str
    model: str
    concurrent: int = 8
    max_tokens: int = 200
    temperature: float = 0.7
    attempts: int = 6
    first_wait_seconds: float = 1.0
    timeout_seconds: float = 120.0

    def __post_init__(self) -> None:
        _openai()

    def ask(self, requests: Iterable[Request], keep: Keep) -> None:
        """Answer requests, `concurrent` at a time; see `Chat.ask`."""
        turn = threading.Lock()

        def answer(request: Request) -> None:
            reply = self._answer(request)
            with turn:
                keep(request, reply)

        waiting = iter(requests)
        with ThreadPoolExecutor(self.concurrent) as pool:
            under_way: set[Future[None]] = {pool.submit(answer, request) for request in islice(waiting, self.concurrent)}
            while under_way:
                done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result()
                under_way |= {pool.submit(answer, request) for request in islice(waiting, len(done))}

    def _answer(self, request: Request) -> Reply | NoReply:
        """Ask until there is an answer, or reason to give up."""
        problem, least_wait = "", 0.0
        for attempt in range(self.attempts):
            if attempt:
                pause = min(self.first_wait_seconds * 2 ** (attempt - 1), LONGEST_WAIT_SECONDS)
                time.sleep(max(least_wait, pause * random.uniform(0.75, 1.25)))
            try:
                return self._attempt(request)
            except _openai().APIStatusError as error:
                problem = f"status {error.status_code}, {' '.join(str(error).split())[:200]}"
                if error.status_code in _SAME_FOR_ALL or error.code == "insufficient_quota":
                    raise self._not_usable(problem) from None
                if error.status_code not in _BUSY and error.status_code < 500:
                    return NoReply(problem)
                least_wait = _asked_wait(error)
            except (_openai().APIError, ValueError, TypeError, LookupError) as error:  # no connection, or no completion
                problem, least_wait = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}", 0.0
        return NoReply(f"{problem} ({self.attempts} attempts)")

    def _attempt(self, request: Request) -> Reply:
        completion = _client(self.url, self.timeout_seconds).chat.completions.create(
            model=self.model,
            messages=[{"role": message.role, "content": message.content} for message in request.messages],  # type: ignore[misc]
            seed=request.seed,
            temperature=self.temperature,
            max_tokens=self.max_tokens,
        )
        choice = completion.choices[0]
        text = choice.message.content or ""
        usage = completion.usage
        return Reply(
            text,
            prompt_tokens=usage.prompt_tokens if usage else math.ceil(request.characters / CHARACTERS_A_TOKEN),
            answer_tokens=usage.completion_tokens if usage else math.ceil(len(text) / CHARACTERS_A_TOKEN),
            cut_off=choice.finish_reason == "length",
        )

    def _not_usable(self, problem: str) -> ConfigurationError:
        return ConfigurationError(
            f"--endpoint {self.url}",
            problem,
            "an answer of a chat endpoint",
            f"check the address, the model's name, the account and {KEY_VARIABLE}; what was answered is kept",
        )


@dataclass(frozen=True)
class LocalChat(Chat):
    """A Hugging Face causal language model on this machine; loaded when it is first asked.

    Args:
        model: its name or folder.
        device: such as `cpu` or `cuda:0`.
        batch_size: requests that are answered at a time.
        max_tokens: of an answer.
        temperature: of the sampling, which is seeded by the first request of a batch; 0 takes the likeliest token.
    """

    model: str
    device: str = "cpu"
    batch_size: int = 8
    max_tokens: int = 200
    temperature: float = 0.7

    def ask(self, requests: Iterable[Request], keep: Keep) -> None:
        """Answer requests, `batch_size` at a time; see `Chat.ask`."""
        waiting = iter(requests)
        while batch := list(islice(waiting, self.batch_size)):
            for request, reply in zip(batch, self._answer(batch), strict=True):
                keep(request, reply)

    def _answer(self, batch: list[Request]) -> list[Reply]:
        import torch

        language, tokenizer = _language(self.model, self.device)
        texts = [_as_text(tokenizer, request) for request in batch]
        inputs = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False).to(self.device)
        torch.manual_seed(batch[0].seed)
        sampling = {"do_sample": True, "temperature": self.temperature} if self.temperature > 0 else {"do_sample": False}
        with torch.inference_mode():
            written = language.generate(
                input_ids=inputs["input_ids"],
                attention_mask=inputs["attention_mask"],
                max_new_tokens=self.max_tokens,
                pad_token_id=tokenizer.pad_token_id,
                **sampling,
            )
        replies = []
        for ids, mask in zip(written[:, inputs["input_ids"].shape[1] :].tolist(), inputs["attention_mask"], strict=True):
            ends = [place for place, token in enumerate(ids) if token == tokenizer.eos_token_id]
            length = ends[0] if ends else len(ids)
            text = tokenizer.decode(ids[:length], skip_special_tokens=True)
            replies.append(Reply(text, int(mask.sum()), length, cut_off=not ends))
        return replies


def _as_text(tokenizer: Any, request: Request) -> str:
    """The chat in the model's own template; one after the other for a model that has none."""
    messages = [{"role": message.role, "content": message.content} for message in request.messages]
    if tokenizer.chat_template is None:
        return "\n\n".join(message["content"] for message in messages) + "\n\n"
    return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)


@cache
def _language(model: str, device: str) -> tuple[Any, Any]:
    """The model and its tokenizer, which pads on the left.

    Raises:
        ConfigurationError: there is no such model, or no such device.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from triscope.devices import on_device

    try:
        tokenizer = AutoTokenizer.from_pretrained(model, padding_side="left")
    except OSError as error:
        found = f"no model {model!r} ({str(error).splitlines()[0].rstrip('.')})"
        expected = "a Hugging Face folder, or a name on the hub where that can be reached"
        raise ConfigurationError("--model", found, expected, "correct it, or name the --endpoint that serves it") from None
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return on_device(AutoModelForCausalLM.from_pretrained(model, dtype="auto").eval(), device), tokenizer


@cache
def _client(url: str, timeout_seconds: float) -> "openai.OpenAI":
    """The client of a server; the key of the environment is read once a process."""
    key = os.environ.get(KEY_VARIABLE) or "none"
    return _openai().OpenAI(base_url=url, api_key=key, timeout=timeout_seconds, max_retries=0)


def _asked_wait(error: "openai.APIStatusError") -> float:
    """Seconds that the server asks to wait for, a minute at most."""
    try:
        return min(float(error.response.headers.get("retry-after", 0)), LONGEST_WAIT_SECONDS)
    except ValueError:  # a date
        return 0.0


def _openai() -> Any:
    try:
        import openai
    except ModuleNotFoundError:
        remedy = "install it with `pip install triscope[generate]`"
        raise ConfigurationError("--endpoint", "no package openai", "the client of chat endpoints", remedy) from None
    return openai
