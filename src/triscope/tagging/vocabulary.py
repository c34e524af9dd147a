"""The names that a tagger may give, and the score from which it gives each."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from triscope.data.errors import ConfigurationError
from triscope.data.folder import write_whole


@dataclass(frozen=True)
class Vocabulary:
    """Names, and the threshold of each.

    Args:
        names: K of them, each once.
        thresholds: K scores; a tag is given when its score lies above its threshold. None: not known yet.
    """

    names: tuple[str, ...]
    thresholds: tuple[float, ...] | None = None

    @classmethod
    def read(cls, names: str | Path, thresholds: str | Path | None = None) -> "Vocabulary":
        """Read text files, one entry a line.

        Args:
            names: file of names.
            thresholds: file with the threshold of the name on the same line, from 0 to 1.

        Raises:
            ConfigurationError: a file is missing or is no text, a name is empty or occurs twice, a threshold is no
                number from 0 to 1, or there is another number of them than of names.
        """
        found = tuple(_lines(Path(names)))
        _check_names(found, str(names))
        if thresholds is None:
            return cls(found)
        lines = enumerate(_lines(Path(thresholds)), start=1)
        numbers = tuple(_number(line, f"{thresholds}, line {number}") for number, line in lines)
        if len(numbers) != len(found):
            expected = f"{len(found)}, one for each line of {names}"
            raise ConfigurationError(str(thresholds), f"{len(numbers)} thresholds", expected, "use files that belong together")
        return cls(found, numbers)


def write_thresholds(file: Path, thresholds: Sequence[float]) -> None:
    """Write thresholds as `Vocabulary.read` reads them."""
    write_whole(file, "".join(f"{threshold:.6f}\n" for threshold in thresholds))


def _lines(file: Path) -> list[str]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        found = "no file" if isinstance(error, FileNotFoundError) else str(error)
        raise ConfigurationError(str(file), found, "a text file with one entry a line", "correct the path") from None
    return [line.strip() for line in lines]


def _number(text: str, where: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number <= 1:
        raise ConfigurationError(where, repr(text), "a number from 0 to 1", "correct the line")
    return number


def _check_names(names: Sequence[str], where: str) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if "" in names:
        raise ConfigurationError(f"{where}, line {names.index('') + 1}", "no name", "a name on each line", "take the line out")
    if twice or not names:
        found = f"{twice[0]!r} more than once" if twice else "no name"
        raise ConfigurationError(where, found, "names, each once", "correct the file")
