"""What the documents show: their blocks of code, and the commands in them."""

import re
import shlex
from pathlib import Path

from tests.conftest import REPOSITORY

DOCUMENTS = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def section(document: Path, heading: str) -> str:
    """The text of a section, to the next heading of its kind."""
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", document.read_text(), re.DOTALL | re.MULTILINE)
    assert found is not None, f"{document.name} has no section {heading!r}"
    return found[1]


def blocks(text: str, language: str) -> list[str]:
    """The blocks of code in a language, in order."""
    return [body for kind, body in _BLOCK.findall(text) if kind == language]


def commands(text: str) -> list[list[str]]:
    """The words of every command in the bash blocks, in order; comments are left out."""
    lines = "\n".join(blocks(text, "bash")).replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]
