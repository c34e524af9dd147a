"""Paths inside a folder that may be moved: those that begin with ./ lie in it."""

from pathlib import Path
from typing import Any

HERE = "./"


def placed(configuration: Any, folder: Path) -> Any:
    """The configuration with every path that begins with ./ put behind the folder."""
    if isinstance(configuration, dict):
        return {key: placed(value, folder) for key, value in configuration.items()}
    if isinstance(configuration, list):
        return [placed(value, folder) for value in configuration]
    if isinstance(configuration, str) and configuration.startswith(HERE):
        return str(folder / configuration.removeprefix(HERE))
    return configuration
