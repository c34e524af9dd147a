"""How a model's answers come about: written token by token, or picked from a list by their likelihood."""

from dataclasses import asdict

from triscope.data.batch import Batch
from triscope.data.box_text import parse_box
from triscope.data.errors import ConfigurationError
from triscope.data.prompts import PromptStyle, PromptWriter
from triscope.evaluation.benchmarks import Benchmark
from triscope.evaluation.generation import GenerationOptions
from triscope.evaluation.predictions import Prediction
from triscope.model import VisualLanguageModel


def written(
    model: VisualLanguageModel, batch: Batch, style: PromptStyle, generation: GenerationOptions, by: Benchmark | None
) -> list[Prediction]:
    """The answer to the last question of every row as the model writes it, and the box in it, if there is one.

    Args:
        model: in evaluation mode.
        batch: rows.
        style: in which their prompts are.
        generation: how answers are written.
        by: the benchmark that asks, if one does; it makes of the answer what is scored.
    """
    decode = model.tokenizers().language.decode
    texts = [decode(ids).strip() for ids in model.generate(batch, **asdict(generation))]
    boxes = [parse_box(text, style.box_format) for text in texts]
    if by is None:
        return [Prediction(*answer) for answer in zip(batch.rows, texts, boxes, strict=True)]
    return [
        Prediction(row, by.post_processing(text), box, written=text, benchmark=by.label)
        for row, text, box in zip(batch.rows, texts, boxes, strict=True)
    ]


def ranked(model: VisualLanguageModel, batch: Batch, style: PromptStyle, by: Benchmark) -> list[Prediction]:
    """The likeliest candidate of every row; of equally likely ones the first.

    Args:
        model: in evaluation mode.
        batch: rows.
        style: in which their prompts are.
        by: the benchmark that asks.

    Raises:
        ConfigurationError: a row without candidates.
    """
    without = next((row.key for row in batch.rows if not row.candidates), None)
    if without is not None:
        remedy = "convert the data with a source that keeps the candidates, or use another benchmark"
        raise ConfigurationError(f"benchmark {by.name}, sample {without}", "no candidates", "a list to rank", remedy)
    writer = PromptWriter(style, model.tokenizers())
    answers = [[writer.answer_ids(candidate) for candidate in row.candidates] for row in batch.rows]
    predictions = []
    for row, likelihoods in zip(batch.rows, model.rank(batch, answers), strict=True):
        best = row.candidates[likelihoods.index(max(likelihoods))]
        predictions.append(Prediction(row, best, written=best, log_likelihoods=tuple(likelihoods), benchmark=by.label))
    return predictions
