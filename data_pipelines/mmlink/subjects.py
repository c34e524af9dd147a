"""Whom and what pairs are made about: people and furniture drawn by OpenMoji, or a folder of photos."""

from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Protocol

from PIL import Image, ImageOps, UnidentifiedImageError

from data_pipelines.scenes.objects import COLORS, cut_out, drawing, with_article
from triscope.data.errors import ConfigurationError

DRAWN_SIDE = 288  # pixels of a drawing's canvas
BORDER = 8  # transparent pixels around a drawing, as a studio photo has room around its subject
PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
MIRRORED = "mirrored"

# Poses of OpenMoji's half-length people; a skin tone has its hair colour.
POSES = ("1F64D", "1F64E", "1F645", "1F646", "1F481", "1F64B", "1F926", "1F937")
HAIR = {"1F3FB": "light brown", "1F3FC": "blond", "1F3FD": "dark brown", "1F3FE": "black", "1F3FF": "black"}
SEXES = {"woman": "2640", "man": "2642"}
SHIRT_FILL = "#92d3f5"

# name: (code, fills of the main colour, fills of the shade); without fills it is drawn as it is
FURNITURE: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "chair": ("1FA91", ("#fcea2b",), ("#f1b31c",)),
    "couch beside a lamp": ("1F6CB", ("#92d3f5",), ("#61b2e4",)),
    "bed": ("1F6CF", ("#92d3f5",), ()),
    "mirror": ("1FA9E", ("#fcea2b",), ()),
    "vase": ("1F3FA", ("#f4aa41",), ("#e27022",)),
    "brown door": ("1F6AA", (), ()),
    "bathtub": ("1F6C1", (), ()),
    "television": ("1F4FA", (), ()),
    "mantel clock": ("1F570", (), ()),
    "potted plant": ("1FAB4", (), ()),
    "wooden ladder": ("1FA9C", (), ()),
    "framed picture": ("1F5BC", (), ()),
    "file cabinet": ("1F5C4", (), ()),
    "wastebasket": ("1F5D1", (), ()),
    "wooden basket": ("1F9FA", (), ()),
}


@dataclass(frozen=True, slots=True)
class Subject:
    """A person or thing that pairs are made about.

    Args:
        name: of the subject, unique.
        description: what is known of it: it wears, or is, the same in all pictures.
        sources: ids of its pictures, two or more: poses, sides, photos.
    """

    name: str
    description: str
    sources: tuple[str, ...]


class Subjects(Protocol):
    """Where subjects come from."""

    @property
    def name(self) -> str:
        """Stored with each sample."""
        ...

    def all(self) -> tuple[Subject, ...]:
        """Every subject, in a fixed order."""
        ...

    def picture(self, source: str) -> Image.Image:
        """One picture: RGBA where the subject's outline is known, else RGB. Do not change it."""
        ...


@dataclass(frozen=True)
class DrawnPeople:
    """OpenMoji's people: 2 sexes, 5 skin tones with their hair, 6 shirts, 8 poses each."""

    name: str = "OpenMoji people"

    def all(self) -> tuple[Subject, ...]:
        """Every person."""
        return tuple(
            Subject(
                f"{tone}-{sex_code} {color}",
                f"a {sex} with {hair} hair in {with_article(color)} shirt",
                tuple(f"{pose}-{tone}-200D-{sex_code}-FE0F {color}" for pose in POSES),
            )
            for color in COLORS
            for tone, hair in HAIR.items()
            for sex, sex_code in SEXES.items()
        )

    def picture(self, source: str) -> Image.Image:
        """One person in one pose."""
        return _person(source)


@dataclass(frozen=True)
class DrawnFurniture:
    """OpenMoji's furniture and household objects, some in six colours, seen from two sides."""

    name: str = "OpenMoji furniture"

    def all(self) -> tuple[Subject, ...]:
        """Every piece."""
        pieces = [(name, color) for name, (_, fills, _) in FURNITURE.items() for color in (COLORS if fills else ("",))]
        return tuple(
            Subject(piece, with_article(piece), (f"{color}|{name}|", f"{color}|{name}|{MIRRORED}"))
            for name, color in pieces
            for piece in (f"{color} {name}".strip(),)
        )

    def picture(self, source: str) -> Image.Image:
        """One piece from one side."""
        return _piece(source)


@dataclass(frozen=True)
class PhotoFolder:
    """Photos of subjects: a folder a subject, whose name describes it, with two or more photos of it.

    Args:
        folder: with `blue_armchair/1.jpg`, `blue_armchair/2.jpg`, ...
    """

    folder: Path

    @property
    def name(self) -> str:
        """The folder's own name, so that samples do not tell where it lay."""
        return f"photos of {self.folder.name}"

    def all(self) -> tuple[Subject, ...]:
        """Every folder with photos.

        Raises:
            ConfigurationError: there is no folder, or a subject has fewer than two photos.
        """
        return self._subjects

    @cached_property
    def _subjects(self) -> tuple[Subject, ...]:
        if not self.folder.is_dir():
            raise ConfigurationError("--subjects", f"no folder {self.folder}", "a folder of folders of photos", "check the path")
        subjects = []
        for folder in sorted(path for path in self.folder.iterdir() if path.is_dir()):
            photos = sorted(path.name for path in folder.iterdir() if path.suffix.lower() in PHOTO_SUFFIXES)
            if len(photos) < 2:
                expected = "two or more of each subject"
                raise ConfigurationError(str(folder), f"{len(photos)} photo(s)", expected, "add photos or remove the folder")
            description = with_article(folder.name.replace("_", " "))
            subjects.append(Subject(folder.name, description, tuple(f"{folder.name}/{photo}" for photo in photos)))
        return tuple(subjects)

    def picture(self, source: str) -> Image.Image:
        """One photo, upright.

        Raises:
            ConfigurationError: it is not a picture.
        """
        path = self.folder / source
        try:
            with Image.open(path) as photo:
                upright = ImageOps.exif_transpose(photo)
        except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
            raise ConfigurationError(str(path), f"a file that is no picture ({error})", "a photo", "remove it") from None
        return upright.convert("RGBA" if "A" in upright.getbands() else "RGB")


@cache
def _person(source: str) -> Image.Image:
    code, color = source.split()
    return _with_border(cut_out(drawing(code, {SHIRT_FILL: COLORS[color][0]}), DRAWN_SIDE))


@cache
def _piece(source: str) -> Image.Image:
    color, name, side = source.split("|")
    code, *tones = FURNITURE[name]
    fills = {old: new for olds, new in zip(tones, COLORS[color], strict=True) for old in olds} if color else {}
    picture = _with_border(cut_out(drawing(code, fills), DRAWN_SIDE))
    return picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if side == MIRRORED else picture


def _with_border(picture: Image.Image) -> Image.Image:
    return ImageOps.expand(picture, BORDER, (0, 0, 0, 0))
