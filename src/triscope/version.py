"""The version, and which code it stands for; without torch, so that the build can read it."""

import hashlib
import subprocess
from pathlib import Path

__version__ = "0.1.0"

CODE_FILE = "code.json"  # of a run's folder: the code that trained it


def code_version(package: Path = Path(__file__).parent) -> dict[str, str]:
    """Which code this is, wherever it was installed.

    Args:
        package: the folder of the code.

    Returns:
        version; files, the start of a hash of all Python files, equal for equal code; and of a checkout of git also commit,
        with `-dirty` behind it where files differ from it.
    """
    content = hashlib.sha256()
    for file in sorted(package.rglob("*.py")):
        content.update(f"{file.relative_to(package).as_posix()}\n".encode() + file.read_bytes())
    told = {"version": __version__, "files": content.hexdigest()[:12]}
    if _git(package, "ls-files", "__init__.py"):  # else what was installed may lie in a checkout of other code
        told["commit"] = _git(package, "describe", "--always", "--dirty", "--exclude=*", "--abbrev=12")
    return told


def _git(folder: Path, *arguments: str) -> str:
    """What git says in a folder; nothing where there is no git or no checkout."""
    try:
        return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
