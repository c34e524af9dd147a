"""Our models in lmms-eval, which asks them the questions of some hundred other benchmarks.

    python -m triscope.app.lmms_eval --model triscope --model_args folder=runs/lion_joint --tasks mme,pope --batch_size 8

is lmms-eval's own command line, behind the import that lets torchvision load beside a CPU build of torch. Prompts, pictures and
post-processing are those of lmms-eval's tasks; how a prompt becomes text of the model, and how it answers, are ours.
Needs `pip install triscope[lmms]`; the interface is that of `lmms_eval.api.model.lmms`, version 0.6.1.
"""

import io
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lmms_eval.api.instance import Instance
from lmms_eval.api.model import lmms
from PIL import Image as Picture
from PIL import ImageFile
from tqdm import tqdm

from triscope.app.answerer import Answerer
from triscope.app.questions import UNKNOWN, guess_level
from triscope.app.runs import CONFIGURATION_FILE
from triscope.data.batch import Batch
from triscope.data.errors import ConfigurationError
from triscope.data.prompts import PromptWriter
from triscope.data.sample import Conversation, Image, Level, Sample, Turn
from triscope.evaluation.generation import GenerationOptions
from triscope.stages.answering import written

MAX_NEW_TOKENS = 256  # where a task does not say, as of most models in lmms-eval
# Options of lmms-eval's tasks by our names; what a task leaves out is greedy decoding.
OPTIONS = {
    "max_new_tokens": "max_new_tokens",
    "num_beams": "beams",
    "repetition_penalty": "repetition_penalty",
    "length_penalty": "length_penalty",
}
ROOM_FOR_QUESTIONS = ("--data.prompt_style.max_prompt_tokens", "2048")  # no question is left out


class Question(NamedTuple):
    """What a request asks: a prompt about the pictures of a document.

    Args:
        prompt: as the task words it.
        task, split, document: where the document is.
    """

    prompt: str
    task: str
    split: str
    document: int


class Triscope(lmms):
    """A model of ours as lmms-eval asks it, in one process.

    Args:
        folder: of a run, whose last checkpoint answers, or of a model (`triscope import`, `export --to model`).
        batch_size: how many questions are answered at once.
        device: such as "cpu" or "cuda"; the recipe's if None.
        level: whose adapters answer, "image" or "region"; it goes by the words of a question if None.

    Raises:
        ConfigurationError: the folder holds no model, or there are several processes.
    """

    def __init__(self, folder: str, batch_size: int | str = 1, device: str | None = None, level: str | None = None) -> None:
        super().__init__()
        ImageFile.LOAD_TRUNCATED_IMAGES = False  # lmms-eval sets it for the whole process; here a picture cut short is an error
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            expected, remedy = "one", "start it without accelerate or torchrun, with a larger --batch_size"
            raise ConfigurationError("lmms-eval", f"{os.environ['WORLD_SIZE']} processes", expected, remedy)
        is_run = (Path(folder) / CONFIGURATION_FILE).is_file()
        model = ["-c", f"{folder}/{CONFIGURATION_FILE}", "--ckpt_path", str(folder)] if is_run else ["-c", str(folder)]
        placed = ["--trainer.accelerator", torch.device(device).type, "--trainer.devices", "1"] if device else []
        self.answerer = Answerer.open([*model, *placed, *ROOM_FOR_QUESTIONS])
        self.batch_size = int(batch_size)
        self.level = None if level is None else Level(level)

    def generate_until(self, requests: list[Instance]) -> list[str]:
        """What the model writes to each question, up to the first of the task's stop texts.

        Args:
            requests: with arguments (prompt, generation options, pictures of a document, its number, task, split).

        Raises:
            ConfigurationError: a task that samples, or that shows something else than pictures.
        """
        places = defaultdict(list)
        for place, (_, options, *_) in enumerate(request.args for request in requests):
            places[_generation(options)].append(place)
        texts = [""] * len(requests)
        for (generation, stops), some in places.items():
            for chunk in self._chunks(some, "answers"):
                batch = self._batch([requests[place] for place in chunk])
                with self.answerer.trainer.precision_plugin.forward_context():
                    answers = written(self.answerer.stage.model, batch, self.answerer.data.prompt_style, generation, None)
                for place, answer in zip(chunk, answers, strict=True):
                    texts[place] = _up_to(answer.text, stops)
        return texts

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """How unlikely each continuation of a question is, and whether the model would write just that.

        A loss, as lmms-eval's tasks take the least: the negative log-likelihood, summed over the tokens of the continuation
        and its end. All continuations of a question are scored in one pass.

        Args:
            requests: with arguments (prompt, continuation, pictures of a document, its number, task, split).
        """
        places = defaultdict(list)
        for place, request in enumerate(requests):
            places[_question(request)].append(place)
        model, writer = self.answerer.stage.model, PromptWriter(self.answerer.data.prompt_style, self.answerer.stage.tokenizers())
        results = [(0.0, False)] * len(requests)
        for chunk in self._chunks(list(places.values()), "likelihoods"):
            batch = self._batch([requests[of_question[0]] for of_question in chunk])
            continuations = [
                [writer.answer_ids(self._continuation(requests[place])) for place in of_question] for of_question in chunk
            ]
            longest = max(len(ids) for of_question in continuations for ids in of_question)
            with self.answerer.trainer.precision_plugin.forward_context():
                likelihoods, greedy = model.rank(batch, continuations), model.generate(batch, max_new_tokens=longest)
            for of_question, given, found, said in zip(chunk, continuations, likelihoods, greedy, strict=True):
                for place, ids, likelihood in zip(of_question, given, found, strict=True):
                    results[place] = -likelihood, ids[:-1] == said
        return results

    def generate_until_multi_round(self, requests: list[Instance]) -> list[str]:
        """Not done: tasks in rounds show pictures between them.

        Raises:
            ConfigurationError: always.
        """
        found, expected = f"a task in rounds, {requests[0].task_name}", "questions, or continuations to rank"
        raise ConfigurationError("lmms-eval", found, expected, "leave the task out")

    def _chunks(self, items: Sequence[Any], what: str) -> Iterator[Sequence[Any]]:
        starts = range(0, len(items), self.batch_size)
        return (items[start : start + self.batch_size] for start in tqdm(starts, desc=what))

    def _batch(self, requests: Sequence[Instance]) -> Batch:
        """The questions of requests, a row each."""
        answerer = self.answerer
        samples = [self._sample(_question(request), request.args[2]) for request in requests]
        return answerer.data.batch_of(samples, answerer.stage.tokenizers(), answerer.stage.region_sides()).to(
            answerer.stage.device
        )

    def _sample(self, question: Question, doc_to_visual: Any) -> tuple[Sample, list[bytes]]:
        shown = doc_to_visual(self._document(question)) or []
        unusable = next((each for each in shown if not isinstance(each, Picture.Image)), None)
        where = f"lmms-eval, task {question.task}, document {question.document}"
        if unusable is not None:
            raise ConfigurationError(where, type(unusable).__name__, "pictures", "leave the task out")
        images = tuple(Image(f"{number}.png", *picture.size) for number, picture in enumerate(shown))
        turn = Turn(question.prompt, (UNKNOWN,))
        conversation = Conversation("lmms_eval", self.level or guess_level(question.prompt), (turn,))
        sample = Sample(f"document-{question.document}", images, (conversation,), source=question.task)
        sample.check(where)
        return sample, [_encoded(picture) for picture in shown]

    def _continuation(self, request: Instance) -> str:
        """Behind the delimiter that a task puts before it: prompts say themselves how an answer begins."""
        given = request.args[1]
        return (given if isinstance(given, str) else given(self._document(_question(request)))).strip()

    def _document(self, question: Question) -> Any:
        return self.task_dict[question.task][question.split][question.document]


def manifest() -> Any:
    """What lmms-eval registers: this package names the function as an entry point of `lmms_eval.models`."""
    from lmms_eval.models.registry_v2 import ModelManifest  # it imports this module while it is itself imported

    return ModelManifest("triscope", simple_class_path=f"triscope.app.lmms_eval.{Triscope.__name__}")


def _question(request: Instance) -> Question:
    prompt, _, _, document, task, split = request.args
    return Question(prompt, task, split, document)


def _generation(options: dict[str, Any]) -> tuple[GenerationOptions, tuple[str, ...]]:
    """A task's options as ours, and the texts that end an answer.

    Raises:
        ConfigurationError: the task asks for sampling.
    """
    if options.get("do_sample"):
        remedy = "answer greedily with --gen_kwargs do_sample=False, or leave the task out"
        raise ConfigurationError("lmms-eval, generation_kwargs", "do_sample: true", "greedy or beam search", remedy)
    stops = options.get("until") or ()
    given = {ours: options[theirs] for theirs, ours in OPTIONS.items() if options.get(theirs) is not None}
    return GenerationOptions(**{"max_new_tokens": MAX_NEW_TOKENS} | given), (stops,) if isinstance(stops, str) else tuple(stops)


def _up_to(text: str, stops: Sequence[str]) -> str:
    """What stands before the first of some texts."""
    return text[: min((text.find(stop) for stop in stops if stop in text), default=len(text))]


def _encoded(picture: Picture.Image) -> bytes:
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "PNG")
    return buffer.getvalue()


if __name__ == "__main__":
    from lmms_eval.__main__ import cli_evaluate

    cli_evaluate()
