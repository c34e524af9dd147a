"""Fills a document with what the commands in it print.

    python -m benchmarks.fill docs/speed.md                      all of its blocks
    python -m benchmarks.fill docs/speed.md --only step_profile  those whose command has the word in it

A block begins with a line that names its command, and ends with a line of its own; what stands between is replaced:

    <!-- measured: python -m benchmarks.levers -->
    <!-- /measured -->

The document is written after each command. One that fails ends everything, and its block stays as it was; so does that of a
command for a GPU where there is none.
"""

import argparse
import re
import shlex
import subprocess
import sys
from pathlib import Path

import torch

BLOCK = re.compile(r"(<!-- measured: python (-m benchmarks\.[^\n]+?) -->\n).*?(<!-- /measured -->)", re.DOTALL)


def main(arguments: list[str] | None = None) -> None:
    """Run the commands of a document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("document", type=Path)
    parser.add_argument("--only", default="", help="part of a command")
    asked = parser.parse_args(arguments)
    for command in commands_of(asked.document):
        if asked.only not in command:
            continue
        if "--device cuda" in command and not torch.cuda.is_available():
            print(f"left as it is, as there is no GPU here: python {command}")
            continue
        fill(asked.document, command)


def commands_of(document: Path) -> list[str]:
    """What is run behind `python`, block by block."""
    return [command for _, command, _ in BLOCK.findall(document.read_text())]


def fill(document: Path, command: str) -> None:
    """Put what a command prints into the blocks that name it.

    Raises:
        CalledProcessError: the command failed; it has told why.
    """
    run = subprocess.run([sys.executable, *shlex.split(command)], stdout=subprocess.PIPE, text=True, check=True)
    printed = run.stdout.strip()

    def filled(block: re.Match) -> str:
        return f"{block[1]}{printed}\n{block[3]}" if block[2] == command else block[0]

    document.write_text(BLOCK.sub(filled, document.read_text()))


if __name__ == "__main__":
    main()
