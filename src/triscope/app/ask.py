"""A question about a picture, on the command line: `triscope predict --picture photo.jpg --question "Where is the dog?"`."""

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image as Picture

from triscope.arguments import Parser
from triscope.data.errors import ConfigurationError, reason
from triscope.data.region_text import read_regions
from triscope.data.sample import Conversation, Image, Level, Region, Sample, Tag, Turn
from triscope.data.shard_writer import ShardWriter
from triscope.tagging.tagger import Tagger, build_tagger, read_tagger

RELEASED = Path("weights/lion_micro")  # of the repository: trained by the demo's own command, at length
RELEASED_PARTS = {  # they answer where no recipe is named
    "checkpoint": str(RELEASED),
    "parts": ["qformer", "aggregator", "adapter_image", "adapter_region", "router", "soft_prompt"],
}
ANSWERING = (
    *("-c", "conf/recipe/lion_3_mixture.yaml", "-c", "conf/recipe/on_scenes.yaml", "--trainer.accelerator", "auto"),
    *("--model.init_args.model", "conf/model/lion_micro.yaml", "--model.init_args.warm_start", json.dumps([RELEASED_PARTS])),
    *("--run.folder", "runs/answer", "--run.wandb", "disabled"),
)
DEMO_TAGGER = Path("runs/demo/tagger")  # knows the names that the released parts know, too
UNKNOWN = "unknown"  # a sample needs a reference; nobody reads this one


def predict_arguments(arguments: list[str], folder: Path) -> list[str]:
    """The arguments of a LightningCLI `predict` for pictures and questions, which are written to shards first.

    Args:
        arguments: `--picture FILE` and `--question TEXT`, each once or several times (every question is asked about every
            picture, and may hold boxes as `<Region><L120><L80><L431><L905></Region>`), `--level image|region`, `--tagger FILE`,
            a tagger's configuration; all others are passed on. Without `-c`, the released parts answer, and the demo's tagger
            tags the pictures if there is one. Without a tagger they have no tags, and prompts no tag sentence.
        folder: for the shards.

    Raises:
        ConfigurationError: no question, a file that is no picture, or a tagger that cannot be built.
        BadSampleError: a box in a question that is none.
    """
    parser = Parser(prog="triscope predict", add_help=False, allow_abbrev=False)
    parser.add_argument("--picture", type=Path, action="append", required=True)
    parser.add_argument("--question", action="append", default=[])
    parser.add_argument("--level", type=Level, default=None, help="of the questions; region if it is about a place")
    parser.add_argument("--tagger", type=Path, default=None, help="file or folder of what tags the pictures, see docs/data.md")
    asked, others = parser.parse_known_args(arguments)
    if not asked.question:
        raise ConfigurationError("--question", "none", "at least one", 'add --question "Where is the dog?"')
    tagger = tagger_of(asked.tagger, others)
    with ShardWriter(folder) as writer:
        for number, file in enumerate(asked.picture):
            content, size = read_picture(file)
            conversations, regions = _questions(asked.question, asked.level)
            image = Image("0.jpg", *size)
            tags = tags_of(content, image, tagger)
            print(f"{file}: {said(tags, tagger)}")
            writer.write(Sample(f"picture-{number}", (replace(image, tags=tags),), conversations, regions, file.name), [content])
    if not names_a_recipe(others):
        others = [*ANSWERING, *others]
    return ["predict", *others, "--data.predict", json.dumps({"questions": str(folder)})]


def _questions(texts: Sequence[str], level: Level | None) -> tuple[tuple[Conversation, ...], tuple[Region, ...]]:
    """Questions as conversations; their regions in the published form, `<Region><L120><L80><L431><L905></Region>`, as boxes."""
    conversations, regions = list[Conversation](), list[Region]()
    for text in texts:
        prompt, boxes = read_regions(text, f"--question {text!r}", first=len(regions) + 1)
        regions += [Region(0, box) for box in boxes]
        its_level = level or (Level.REGION if boxes else guess_level(prompt))
        conversations.append(Conversation("question", its_level, (Turn(prompt, (UNKNOWN,)),)))
    return tuple(conversations), tuple(regions)


def names_a_recipe(arguments: Sequence[str]) -> bool:
    """Whether a command line says which model answers; otherwise the released parts do."""
    return bool({"-c", "--config"} & set(arguments))


def tagger_of(named: Path | None, arguments: Sequence[str]) -> Tagger | None:
    """What tags new pictures: the tagger that is named, else the demo's where the released parts answer.

    Raises:
        ConfigurationError: the tagger cannot be built.
    """
    if named is None and not names_a_recipe(arguments) and DEMO_TAGGER.is_dir():
        named = DEMO_TAGGER
    return build_tagger(read_tagger(named)) if named is not None else None


def tags_of(content: bytes, image: Image, tagger: Tagger | None) -> tuple[Tag, ...]:
    """The tags of a new picture; none without a tagger."""
    if tagger is None:
        return ()
    pixels_CHW = tagger.pixels(content, image, image.file)
    return tagger.tags(pixels_CHW[None])[0]


def said(tags: tuple[Tag, ...], tagger: Tagger | None) -> str:
    """The tags of a picture in words, or why there are none."""
    if tagger is None:
        return "tags off, for no tagger is given (--tagger FILE, see docs/data.md; `make demo` trains one)"
    named = ", ".join(f"{tag.name} {tag.score:.2f}" for tag in tags)
    return f"tags {named}" if named else f"no tag: none of {len(tagger.vocabulary.names)} names is above its threshold"


def guess_level(question: str) -> Level:
    """Whether a question asks for a place or about one: it then needs the region level's adapters."""
    begins = question.strip().lower().split(" ")[0]
    return Level.REGION if begins in ("where", "find", "point", "give", "locate") or "[" in question else Level.IMAGE


def main(arguments: list[str]) -> None:
    """Ask and print the answers."""
    from triscope.checkpoints.folder import folders_as_recipes
    from triscope.cli import TriscopeCLI

    with TemporaryDirectory() as folder, folders_as_recipes(predict_arguments(arguments, Path(folder) / "shards")) as opened:
        TriscopeCLI(opened)


def read_picture(file: Path) -> tuple[bytes, tuple[int, int]]:
    """A picture of any format as JPEG, and its size."""
    try:
        with Picture.open(file) as picture:
            buffer = io.BytesIO()
            picture.convert("RGB").save(buffer, "JPEG", quality=95)
            return buffer.getvalue(), picture.size
    except OSError as error:
        remedy = "correct the path, or convert the file"
        raise ConfigurationError(f"--picture {file}", reason(error), "a picture", remedy) from None
