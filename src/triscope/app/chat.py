"""A talk about pictures in the terminal: `triscope chat --picture photo.jpg`. Answers appear as they are written."""

import argparse
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from triscope.app.answerer import Answerer
from triscope.app.pictures import in_pixels, look_at, tagger_of, told
from triscope.app.questions import UNKNOWN, check_marks, guess_level
from triscope.arguments import Parser
from triscope.data.boxes import Box, BoxSpace
from triscope.data.errors import ConfigurationError, TriscopeError
from triscope.data.prompts import row_text
from triscope.data.region_text import read_regions, write_region
from triscope.data.sample import Conversation, Image, Level, Region, Sample, Tag, Turn
from triscope.tagging.tagger import Tagger

HELP = """\
  /picture FILE...    look at these pictures from now on
  /box X1,Y1,X2,Y2    a box to ask about as #1, #2, ...: pixels, or shares of the picture from 0.0 to 1.0;
                      2:X1,Y1,X2,Y2 lies in the second picture; /box off forgets all; /box lists them
  /tags DOG, LAWN     what the model is told of the picture; /tags off, /tags +dog -lawn; /tags shows them
  /level LEVEL        image or region, whose adapters answer; /level auto goes by the question
  /turns N            earlier questions and answers that the model is shown (0 at the start)
  /prompt             what the model read last
  /help   /quit
Anything else is a question. It may hold boxes: as X1,Y1,X2,Y2, or as <Region><L120><L80><L431><L905></Region>."""
_NUMBER = r"\d+(?:\.\d+)?"
_TYPED_BOX = re.compile(rf"(?<![\d.,\[])(?:(\d):)?({_NUMBER}),\s*({_NUMBER}),\s*({_NUMBER}),\s*({_NUMBER})(?![\d,\]])")
_SHORT_NAME = re.compile(r"#(\d+)\b")


@dataclass
class Chat:
    """A talk: what is looked at, what is told of it, and what was said.

    Args:
        answerer: the model.
        say: prints a piece of text.
        tagger: names what is in new pictures; none if None.
    """

    answerer: Answerer
    say: Callable[[str], None]
    tagger: Tagger | None = None
    images: list[Image] = field(default_factory=list)
    contents: list[bytes] = field(default_factory=list)
    regions: list[Region] = field(default_factory=list)
    earlier: list[Turn] = field(default_factory=list)
    level: Level | None = None
    turns_shown: int = 0
    asked: Sample | None = None

    def hear(self, line: str) -> bool:
        """Do what a line says; False if it ends the talk. A mistake is told, and the talk goes on."""
        word, _, rest = line.strip().partition(" ")
        if word in ("/quit", "/exit"):
            return False
        try:
            if word.startswith("/"):
                self.say(self._command(word, rest.strip()) + "\n")
            elif word:
                self.ask(line.strip())
        except (TriscopeError, ValueError) as error:
            self.say(f"{error}\n")
        return True

    def look(self, files: list[Path]) -> str:
        """Look at pictures; boxes and turns of those before are forgotten."""
        if not files:
            raise ConfigurationError("/picture", "no file", "one or more", "type /picture photo.jpg")
        looked = [look_at(file, self.tagger, number) for number, file in enumerate(files)]
        self.images, self.contents = [image for image, _ in looked], [content for _, content in looked]
        self.regions, self.earlier = [], []
        return "\n".join(told(file, image, self.tagger) for file, image in zip(files, self.images, strict=True))

    def ask(self, text: str) -> None:
        """Ask, and say the answer while it is written."""
        check_marks(text, "the question")
        prompt, regions = self._with_markers(text)
        level = self.level or guess_level(prompt)
        turns = (*self.earlier[len(self.earlier) - self.turns_shown :], Turn(prompt, (UNKNOWN,)))
        talk = (Conversation("chat", level, turns),)
        asked = Sample("chat", tuple(self.images), talk, tuple(regions), source="chat")
        prediction = self.answerer.answer(asked, self.contents, on_text=self.say)
        self.asked, self.regions = asked, regions
        self.say("\n")
        if prediction.box is not None and self.images:
            self.say(f"  box {in_pixels(prediction.box, self.images[0])}  {write_region(prediction.box)}\n")
        if prediction.text:
            self.earlier.append(Turn(prompt, (prediction.text,)))

    def _command(self, word: str, rest: str) -> str:
        match word:
            case "/help":
                return HELP
            case "/picture":
                return self.look([Path(name) for name in rest.split()])
            case "/box":
                return self._box(rest)
            case "/tags":
                return self._tags(rest)
            case "/level":
                if rest not in ("", "auto", *Level):
                    raise ConfigurationError("/level", repr(rest), "image, region or auto", "type /level region")
                self.level = None if rest == "auto" else Level(rest) if rest else self.level
                return f"level {self.level or 'by the question'}"
            case "/turns":
                if rest and not rest.isdecimal():
                    raise ConfigurationError("/turns", repr(rest), "a number, 0 or more", "type /turns 2")
                self.turns_shown = int(rest or self.turns_shown)
                return f"{self.turns_shown} earlier turn(s) are shown"
            case "/prompt":
                return self._prompt()
        raise ConfigurationError(word, "no such command", "one of /help", "type /help")

    def _box(self, rest: str) -> str:
        """Remember a box, forget all, or list them."""
        if rest == "off":
            self.regions = []
        elif rest:
            found = _TYPED_BOX.fullmatch(rest)
            if found is None and "<Region>" not in rest:
                raise ConfigurationError("/box", repr(rest), "x1,y1,x2,y2", "type four numbers with commas")
            _, self.regions = self._with_markers(rest)
        lines = [
            f"#{number}: {in_pixels(region.box, self.images[region.image])} of picture {region.image + 1}"
            for number, region in enumerate(self.regions, start=1)
        ]
        return "\n".join(lines) or "no box"

    def _tags(self, rest: str) -> str:
        """Change the tags of the pictures, or show them."""
        if not self.images:
            raise ConfigurationError("/tags", "no picture", "one to tell of", "type /picture photo.jpg first")
        names = [tag.name for tag in self.images[0].tags]
        if rest == "off":
            names = []
        elif rest.startswith(("+", "-")):
            for sign, name in re.findall(r"([+-])([^+,-]+)", rest):
                names = [one for one in names if one != name.strip()] + [name.strip()] * (sign == "+")
        elif rest:
            names = [name.strip() for name in rest.split(",") if name.strip()]
        if rest:
            tags = tuple(Tag(name) for name in names)
            self.images = [replace(image, tags=tags) for image in self.images]
        shown = ", ".join(names) or "no tags"
        silent = self.answerer.data.prompt_style.tags == "none"
        return shown + (" (this model's prompts have no tags)" if silent else "")

    def _prompt(self) -> str:
        if self.asked is None:
            return "nothing was asked yet"
        batch = self.answerer.batch(self.asked, self.contents)
        is_read = batch.valid_BT[-1] & ~batch.supervised_BT[-1]
        ids = batch.ids_BT[-1][is_read].tolist()
        return row_text(ids, [False] * len(ids), self.answerer.stage.tokenizers().language)

    def _with_markers(self, text: str) -> tuple[str, list[Region]]:
        """A text whose boxes are `<region:k>`, and the regions of the talk with them.

        Raises:
            TriscopeError: a box that is none, or lies in no picture.
        """
        regions = list(self.regions)

        def remember(found: re.Match) -> str:
            image = int(found[1] or 1) - 1
            if not 0 <= image < len(self.images):
                expected = f"one of {len(self.images)} picture(s)"
                raise ConfigurationError(found[0], f"picture {image + 1}", expected, "show the picture first: /picture FILE")
            regions.append(Region(image, typed_box(found.groups()[1:], self.images[image], found[0])))
            return f"<region:{len(regions)}>"

        text, published = read_regions(text, "the question", first=len(regions) + 1)
        if published and not self.images:
            raise ConfigurationError("the question", "a region", "a picture that it lies in", "show one first: /picture FILE")
        regions += [Region(0, box) for box in published]
        text = _TYPED_BOX.sub(remember, text)
        return _SHORT_NAME.sub(r"<region:\1>", text), regions


def typed_box(numbers: tuple[str, ...], image: Image, where: str) -> Box:
    """Four typed numbers as a box: shares of the picture if they have points and go to 1, else pixels.

    Raises:
        BadSampleError: it has no area, or lies outside.
    """
    x1, y1, x2, y2 = (float(number) for number in numbers)
    are_shares = any("." in number for number in numbers) and max(x1, y1, x2, y2) <= 1
    box = Box(x1, y1, x2, y2, BoxSpace.UNIT if are_shares else BoxSpace.PIXELS)
    box.check(image.width, image.height, where)
    return box


def main(arguments: list[str]) -> None:
    """Talk until the input ends."""
    parser = Parser(
        prog="triscope chat",
        description=__doc__,
        epilog="All other arguments are those of `triscope predict`, such as -c and --ckpt_path; without -c the released parts "
        f"answer.\n\ncommands in the talk:\n{HELP}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--picture", type=Path, nargs="+", default=[], metavar="FILE", help="what to look at first")
    parser.add_argument("--box", action="append", default=[], metavar="X1,Y1,X2,Y2", help="a box to ask about as #1, #2, ...")
    parser.add_argument("--tagger", type=Path, metavar="FILE", help="configuration of what tags the pictures, see docs/data.md")
    options, others = parser.parse_known_args(arguments)
    chat = Chat(Answerer.open(others), _say, tagger_of(options.tagger, others))
    _say(f"{chat.answerer.said_of_size()} /help lists the commands.\n")
    if options.picture:
        _say(chat.look(options.picture) + "\n")
    for box in options.box:
        chat.hear(f"/box {box}")
    while (line := _typed()) is not None and chat.hear(line):
        pass


def _typed() -> str | None:
    """The next line, or None where the input ends."""
    try:
        return input("> " if sys.stdin.isatty() else "")
    except (EOFError, KeyboardInterrupt):
        return None


def _say(text: str) -> None:
    print(text, end="", flush=True)
