"""Language models that answer prompts: one behind an OpenAI-compatible endpoint, or one on this machine."""

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

from triscope.data.errors import ConfigurationError

KEY_VARIABLE = "OPENAI_API_KEY"  # of the environment; endpoints on one's own machine need none
_BUSY = (408, 409, 429, 500, 502, 503, 504)  # answers of a server that is worth asking again


class Chat(Protocol):
    """A language model."""

    @property
    def name(self) -> str:
        """Stored with what it wrote."""
        ...

    def reply(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[str]:
        """An answer to each prompt, drawn with its seed."""
        ...


@dataclass(frozen=True)
class Endpoint:
    """A server with `POST URL/chat/completions`, such as vLLM, llama.cpp or OpenAI.

    Args:
        url: such as `http://localhost:8000/v1`.
        model: its name there.
        batch_size: requests under way at a time.
        max_tokens: of an answer.
        temperature: of the sampling. Whether a seed repeats an answer is up to the server.
        attempts: at a request while the server is busy or does not answer; the waits between them double.
        first_wait_seconds: before the second attempt.
        timeout_seconds: of a request.
    """

    url: str
    model: str
    batch_size: int = 8
    max_tokens: int = 200
    temperature: float = 0.7
    attempts: int = 5
    first_wait_seconds: float = 1.0
    timeout_seconds: float = 120.0

    @property
    def name(self) -> str:
        """The model's; where it runs is nobody's business."""
        return self.model

    def reply(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[str]:
        """Ask the server.

        Raises:
            ConfigurationError: no answer after all attempts, or one that is not of a chat endpoint.
        """
        with ThreadPoolExecutor(self.batch_size) as pool:
            return list(pool.map(self._reply, prompts, seeds))

    def _reply(self, prompt: str, seed: int) -> str:
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": prompt}],
            "seed": seed,
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
        }
        for attempt in range(self.attempts):
            if attempt:
                time.sleep(self.first_wait_seconds * 2 ** (attempt - 1))
            try:
                return self._post(body)
            except urllib.error.HTTPError as error:
                problem = f"status {error.code}"
                if error.code not in _BUSY:
                    break
            except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
                problem = str(error)
        remedy = f"check the address, the model's name and {KEY_VARIABLE}; what was made is kept, so run the command again"
        raise ConfigurationError(self.url, problem, "an answer of a chat endpoint", remedy)

    def _post(self, body: dict[str, Any]) -> str:
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get(KEY_VARIABLE):
            headers["Authorization"] = f"Bearer {key}"
        address = f"{self.url.rstrip('/')}/chat/completions"
        request = urllib.request.Request(address, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=self.timeout_seconds) as response:
            content = response.read()
        try:
            return str(json.loads(content)["choices"][0]["message"]["content"] or "")
        except (ValueError, KeyError, IndexError, TypeError):
            found = f"an answer that starts with {content[:80]!r}"
            raise ConfigurationError(address, found, "choices[0].message.content", "check the address") from None


@dataclass(frozen=True)
class LocalChat:
    """A Hugging Face causal language model on this machine; loaded when it is first asked, once a process.

    Args:
        model: its name or folder.
        device: such as `cpu` or `cuda:0`.
        batch_size: prompts at a time.
        max_tokens: of an answer.
        temperature: of the sampling, which is seeded by the first seed of a batch.
    """

    model: str
    device: str = "cpu"
    batch_size: int = 8
    max_tokens: int = 200
    temperature: float = 0.7

    @property
    def name(self) -> str:
        """The model's."""
        return self.model

    def reply(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[str]:
        """Let the model write."""
        import torch

        language, tokenizer = _language(self.model, self.device)
        replies = []
        for start in range(0, len(prompts), self.batch_size):
            texts = [_as_chat(tokenizer, prompt) for prompt in prompts[start : start + self.batch_size]]
            inputs = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False).to(self.device)
            torch.manual_seed(seeds[start])
            with torch.inference_mode():
                written = language.generate(
                    input_ids=inputs["input_ids"],
                    attention_mask=inputs["attention_mask"],
                    max_new_tokens=self.max_tokens,
                    do_sample=True,
                    temperature=self.temperature,
                    pad_token_id=tokenizer.pad_token_id,
                )
            new = written[:, inputs["input_ids"].shape[1] :]
            replies += tokenizer.batch_decode(new, skip_special_tokens=True)
        return replies


def _as_chat(tokenizer: Any, prompt: str) -> str:
    if tokenizer.chat_template is None:
        return prompt
    messages = [{"role": "user", "content": prompt}]
    return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)


@cache
def _language(model: str, device: str) -> tuple[Any, Any]:
    """The model and its tokenizer, which pads on the left."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model, padding_side="left")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return AutoModelForCausalLM.from_pretrained(model, dtype="auto").eval().to(device), tokenizer
