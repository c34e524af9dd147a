"""Questions about pictures, on the command line: `triscope predict --picture photo.jpg --question "Where is the dog?"`."""

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image as Picture

from triscope.app.answerer import Answerer
from triscope.app.pictures import in_pixels, look_at, tagger_of, told
from triscope.app.questions import UNKNOWN, check_marks, guess_level
from triscope.arguments import Parser
from triscope.data.errors import ConfigurationError
from triscope.data.region_text import read_regions
from triscope.data.sample import Conversation, Image, Level, Region, Sample, Turn
from triscope.drawing import outlined, outlines
from triscope.evaluation.predictions import Prediction

DRAWN_AS = (".png", ".jpg", ".jpeg")


def main(arguments: list[str]) -> None:
    """Ask every question about every picture, and print the answers.

    Raises:
        ConfigurationError: no question, a file that is no picture, one that no picture can be drawn into, or a model or a
            tagger that cannot be built.
        BadSampleError: a box in a question that is none, or a marker of a picture that is not there.
    """
    options, others = parser().parse_known_args(arguments)
    _check(options.question, options.picture, options.draw)
    questions = [read_question(text, options.level) for text in options.question]
    tagger = tagger_of(options.tagger, others)
    pictures = []
    for file in options.picture:
        image, content = look_at(file, tagger)
        samples = [Sample("picture", (image,), (asked,), regions, source=file.name) for asked, regions in questions]
        for sample in samples:
            sample.check()
        pictures.append((file, image, content, samples))
    answerer = Answerer.open(others)
    for file, image, content, samples in pictures:
        print(told(file, image, tagger))
        predictions = []
        for text, sample in zip(options.question, samples, strict=True):
            predictions.append(answerer.answer(sample, [content]))
            print(f"{text} -> {said(predictions[-1], image)}", flush=True)
        if options.draw:
            drawn(content, predictions).save(options.draw)


def parser() -> Parser:
    """The options beside those that say which model answers."""
    made = Parser(
        prog="triscope predict",
        description=__doc__,
        epilog="All other arguments are those of `triscope predict` over shards, such as -c and --ckpt_path; without -c the "
        "released parts answer.",
        allow_abbrev=False,
    )
    made.add_argument("--picture", type=Path, action="append", required=True, metavar="FILE", help="once or several times")
    made.add_argument(
        "--question",
        action="append",
        default=[],
        metavar="TEXT",
        help="asked about every picture; may hold boxes as <Region><L120><L80><L431><L905></Region>",
    )
    made.add_argument("--level", type=Level, choices=list(Level), help="of the questions; region if it is about a place")
    made.add_argument("--tagger", type=Path, metavar="FILE", help="file or folder of what tags the pictures, see docs/data.md")
    made.add_argument("--draw", type=Path, metavar="FILE", help="write the picture with boxes asked about (blue) and said (red)")
    return made


def _check(questions: Sequence[str], pictures: Sequence[Path], draw: Path | None) -> None:
    """Refuse at once what would fail after the model was read.

    Raises:
        ConfigurationError: no question, one without text, or a file that no picture can be drawn into.
    """
    if not questions:
        raise ConfigurationError("--question", "none", "at least one", 'add --question "Where is the dog?"')
    if not all(text.strip() for text in questions):
        raise ConfigurationError("--question", "no text", "a question", "write one, or leave it out")
    if draw is None:
        return
    if draw.suffix.lower() not in DRAWN_AS:
        raise ConfigurationError("--draw", str(draw), f"a file that ends in {', '.join(DRAWN_AS)}", "name one, such as out.png")
    if len(pictures) > 1:
        raise ConfigurationError("--draw", f"{len(pictures)} pictures", "one", "ask about each picture alone")


def read_question(text: str, level: Level | None) -> tuple[Conversation, tuple[Region, ...]]:
    """A question as a conversation; its regions in the published form, `<Region><L120><L80><L431><L905></Region>`, as boxes.

    Args:
        text: as it was typed.
        level: of the question; it goes by the words if None.

    Raises:
        BadSampleError: a box that is none, or a mark without its number.
    """
    where = f"--question {text!r}"
    check_marks(text, where)
    prompt, boxes = read_regions(text, where)
    conversation = Conversation("question", level or guess_level(prompt), (Turn(prompt, (UNKNOWN,)),))
    return conversation, tuple(Region(0, box) for box in boxes)


def said(prediction: Prediction, image: Image) -> str:
    """An answer in a line; a box in it also in pixels."""
    where = f", box {in_pixels(prediction.box, image)}" if prediction.box is not None else ""
    return " ".join(prediction.text.split()) + where


def drawn(content: bytes, predictions: Sequence[Prediction]) -> Picture.Image:
    """A picture with the boxes of its questions and answers."""
    boxes = [outline for prediction in predictions for outline in outlines(prediction, None)]
    return outlined(Picture.open(io.BytesIO(content)), boxes)
