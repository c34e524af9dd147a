"""Systems ranked by people: `triscope rank page` makes the page that they judge on, `triscope rank scores` reads what they saved.

The page is one file without network. It shows a picture, an instruction, and every system's answer in an order of its own, and
knows no system by name: whose answer is whose stands in the key beside it.
"""

import argparse
import base64
import hashlib
import json
import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from triscope.arguments import Parser
from triscope.data.boxes import BoxSpace
from triscope.data.errors import ConfigurationError
from triscope.data.folder import write_whole
from triscope.data.sample import MARKER, Sample
from triscope.data.shards import ShardSet
from triscope.evaluation.predictions import read_predictions
from triscope.evaluation.ranking import (
    DIMENSIONS,
    SCHEMA,
    Key,
    rankings_json,
    rankings_table,
    read_key,
    read_rankings,
)

TEMPLATE = Path(__file__).with_name("ranking_page.html")
MEDIA_TYPES = {"jpg": "jpeg", "jpeg": "jpeg", "png": "png", "webp": "webp"}

# What an instruction probably asks for, by its words; the judge corrects it. FineEval's own assignment was not published.
SUGGESTED = {
    "counting": r"how many|number of|count",
    "text": r"written|writing|text|language|title|read|says?|letters?|words?|name of (the|this) book|book's name",
    "attribute": r"colou?rs?|shape|made of|material|wearing|style|posture|size",
    "relation": r"relation(ship)?|between|positional|closest|compare|higher|taller|bigger|faster|around|next to|"
    r"on the (left|right)",
    "reasoning": r"why|would|infer|risks?|likely|determine|story|who is|what happens|purpose|rules?|according to|"
    r"which country|contribute|can we know|explain",
}
OTHERWISE = "recognition"

HELP = """\
triscope rank: systems ranked by people, blind

  python -m data_pipelines convert fine_eval --annotations instructions.jsonl --images images --out data/fine_eval
  triscope predict -c RECIPE --ckpt_path CHECKPOINT --data.predict '{"fine_eval": "data/fine_eval"}'
  triscope rank page --data data/fine_eval --answers ours=runs/ours/predictions/fine_eval.jsonl \\
      --answers llava=llava.jsonl --out ranking.html
  triscope rank scores --key ranking.key.json rankings-anna.json rankings-ben.json --out scores.json
"""


@dataclass(frozen=True)
class Item:
    """An instruction with the answer of every system.

    Args:
        key: of the row, as predictions name it.
        picture: index of the picture.
        prompt: the instruction with its markers.
        regions: numbers of the sample's regions in it, in order.
        boxes: of these regions, in unit space.
        answers: by system.
    """

    key: str
    picture: int
    prompt: str
    regions: tuple[str, ...]
    boxes: tuple[tuple[float, ...], ...]
    answers: Mapping[str, str]


def suggest_dimensions(instruction: str) -> list[str]:
    """What an instruction probably asks for."""
    text = MARKER.sub("", instruction).lower()
    found = {name for name, pattern in SUGGESTED.items() if re.search(rf"\b({pattern})\b", text)} or {OTHERWISE}
    return [name for name in DIMENSIONS if name in found]


def write_page(folder: Path, answers: Mapping[str, Path], out: Path, seed: int = 0) -> Path:
    """Write the page, and its key beside it.

    Args:
        folder: of the shards with the instructions.
        answers: by system, a file of predictions (`triscope predict`) or one of the published layout: JSON lines
            {image, instruction, output}, with the instruction in either of FineEval's wordings.
        out: the page.
        seed: of the orders, of pictures and of the answers to each instruction.

    Returns:
        the key's file.

    Raises:
        ConfigurationError: fewer than two systems, or one that did not answer an instruction.
    """
    if len(answers) < 2:
        raise ConfigurationError("--answers", f"{len(answers)} system(s)", "two or more", "add --answers NAME=FILE")
    samples = [raw.parse() for raw in ShardSet.open(folder)]
    random.Random(seed).shuffle(samples)
    by_system = {system: _read_answers(path) for system, path in answers.items()}
    items = [item for number, (sample, _) in enumerate(samples) for item in _items(sample, number, by_system)]
    orders = {item.key: _order(item, seed) for item in items}
    content = {
        "schema": SCHEMA,
        "dimensions": DIMENSIONS,
        "pictures": [_picture(sample, images[0]) for sample, images in samples],
        "items": [_shown(item, orders[item.key]) for item in items],
    }
    page = hashlib.sha256(json.dumps(content["items"]).encode()).hexdigest()[:16]
    key = Key(page, orders, {item.key: samples[item.picture][0].key for item in items})
    data = json.dumps(content | {"page": page}, ensure_ascii=False).replace("<", "\\u003c")  # nothing ends the script early
    out.parent.mkdir(parents=True, exist_ok=True)
    key_file = out.with_name(f"{out.stem}.key.json")
    write_whole(key_file, key.to_json())
    write_whole(out, TEMPLATE.read_text(encoding="utf-8").replace("{data}", data))
    return key_file


def main(arguments: list[str]) -> None:
    """`triscope rank`."""
    parsed = _parser().parse_args(arguments)
    parsed.run(parsed)


def _page(parsed: argparse.Namespace) -> None:
    pairs = [text.partition("=") for text in parsed.answers]
    if wrong := [name for name, sign, file in pairs if not (name and sign and file)]:
        raise ConfigurationError("--answers", ", ".join(wrong) or "nothing", "NAME=FILE", "name each system")
    if len({name for name, _, _ in pairs}) < len(pairs):
        raise ConfigurationError("--answers", "a name twice", "different names", "rename one of the systems")
    key = write_page(parsed.data, {name: Path(file) for name, _, file in pairs}, parsed.out, parsed.seed)
    print(f"{parsed.out} is for the judges; keep {key} from them: it says whose answer is whose")


def _scores(parsed: argparse.Namespace) -> None:
    key = read_key(parsed.key)
    judgements = [judgement for path in parsed.rankings for judgement in read_rankings(path, key)]
    if not judgements:
        raise ConfigurationError(", ".join(map(str, parsed.rankings)), "no ranking", "at least one", "rank on the page first")
    ((judge, item), times) = Counter((judgement.judge, judgement.item) for judgement in judgements).most_common(1)[0]
    if times > 1:
        remedy = "give the last file that each judge saved; judges need names of their own"
        raise ConfigurationError(", ".join(map(str, parsed.rankings)), f"{times} rankings of {item} by {judge}", "one", remedy)
    print(rankings_table(judgements, parsed.resamples, parsed.seed))
    if parsed.out:
        write_whole(parsed.out, rankings_json(judgements, parsed.resamples, parsed.seed))


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="triscope rank", description=HELP, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="page|scores")
    page = commands.add_parser("page", help="make the page")
    page.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="shards with the instructions")
    page.add_argument("--answers", action="append", default=[], metavar="NAME=FILE", help="of a system; two or more")
    page.add_argument("--out", type=Path, required=True, metavar="FILE", help="the page; its key is put beside it")
    page.add_argument("--seed", type=int, default=0, help="of the orders (default: %(default)s)")
    page.set_defaults(run=_page)
    scores = commands.add_parser("scores", help="what the rankings say")
    scores.add_argument("rankings", type=Path, nargs="+", metavar="FILE", help="saved by the judges")
    scores.add_argument("--key", type=Path, required=True, metavar="FILE", help="of the page")
    scores.add_argument("--out", type=Path, metavar="FILE", help="write the scores here too, as JSON")
    scores.add_argument("--resamples", type=int, default=2000, help="of the pictures, for intervals (default: %(default)s)")
    scores.add_argument("--seed", type=int, default=0, help="of the resamples (default: %(default)s)")
    scores.set_defaults(run=_scores)
    return parser


def _read_answers(path: Path) -> Mapping[str | tuple[str, str], str]:
    """The answers in a file, by the key of the row or by picture file and instruction."""
    if not path.is_file():
        raise ConfigurationError(f"--answers {path}", "no file", "a system's answers", "check the path")
    with path.open(encoding="utf-8") as file:
        first = file.readline()
    if '"output"' not in first:
        return {prediction.row.key: prediction.text for prediction in read_predictions(path)}
    answers: dict[str | tuple[str, str], str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            record = json.loads(line)
            answers[record["image"], record["instruction"]] = str(record["output"])
        except (ValueError, KeyError, TypeError) as error:
            expected = "{image, instruction, output}"
            raise ConfigurationError(
                f"{path}, line {number}", f"{type(error).__name__} {error}", expected, "correct the line"
            ) from None
    return answers


def _items(sample: Sample, picture: int, by_system: Mapping[str, Mapping]) -> list[Item]:
    items = []
    for number, conversation in enumerate(sample.conversations):
        key, prompt = f"{sample.key}:{number}", conversation.turns[0].prompt
        published = sample.extra.get("published", [])
        wordings = [(sample.extra["file"], text) for text in published[number].values()] if published else []
        regions = tuple(dict.fromkeys(mark for kind, mark in MARKER.findall(prompt) if kind == "region"))
        boxes = tuple(_unit(sample, int(mark)) for mark in regions)
        answers = {system: _answer(system, known, [key, *wordings]) for system, known in by_system.items()}
        items.append(Item(key, picture, prompt, regions, boxes, answers))
    return items


def _answer(system: str, known: Mapping, names: Sequence) -> str:
    """A system's answer under the first of the names that it has it under."""
    for name in names:
        if name in known:
            return known[name]
    remedy = "let the system answer every instruction; an empty answer is an answer"
    raise ConfigurationError(
        f"--answers {system}", f"{len(known)} answer(s), none to {names[0]}", "one to every instruction", remedy
    )


def _unit(sample: Sample, number: int) -> tuple[float, ...]:
    region = sample.regions[number - 1]
    image = sample.images[region.image]
    return region.box.to(BoxSpace.UNIT, image.width, image.height).corners


def _order(item: Item, seed: int) -> tuple[str, ...]:
    order = sorted(item.answers)
    random.Random(f"{seed} {item.key}").shuffle(order)
    return tuple(order)


def _shown(item: Item, order: Sequence[str]) -> dict:
    """What the page knows of an instruction: nothing that names a system."""
    parts: list[str | int] = []
    end = 0
    for mark in MARKER.finditer(item.prompt):
        parts.append(item.prompt[end : mark.start()])
        parts += [item.regions.index(mark[2]) + 1] if mark[1] == "region" else []
        end = mark.end()
    parts.append(item.prompt[end:])
    return {
        "id": item.key,
        "picture": item.picture,
        "instruction": [part for part in parts if part != ""],
        "boxes": item.boxes,
        "dimensions": suggest_dimensions(item.prompt),
        "answers": [item.answers[system].strip() for system in order],
    }


def _picture(sample: Sample, content: bytes) -> dict:
    image = sample.images[0]
    media = MEDIA_TYPES[image.file.rpartition(".")[2]]
    source = f"data:image/{media};base64,{base64.b64encode(content).decode()}"
    return {"source": source, "width": image.width, "height": image.height}
