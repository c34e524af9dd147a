"""The parser of command lines: argparse's, which also says what a misspelt name may mean."""

import argparse
import re
from difflib import get_close_matches
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """Names the choice or the option that comes closest to one it does not know."""

    def error(self, message: str) -> NoReturn:
        """End with the usage, the message, and what may be meant."""
        near = meant(message, self.format_usage())
        super().error(f"{message}; did you mean {near}?" if near else message)


def meant(message: str, usage: str) -> str | None:
    """The name that comes closest to the one that a parser refused, if any comes close.

    Args:
        message: of argparse, about a choice or an option.
        usage: of the command, which names its options.
    """
    if choice := re.search(r"invalid choice: '(.*)' \(choose from (.*)\)", message):
        given, known = choice[1], [name.strip("' ") for name in choice[2].split(",")]
    elif option := re.search(r"unrecognized arguments: .*?(--\w+)", message):
        given, known = option[1], re.findall(r"--\w+", usage)
    else:
        return None
    return next(iter(get_close_matches(given, known, n=1)), None)
