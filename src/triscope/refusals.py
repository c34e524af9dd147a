"""What Lightning and its parser of configurations refuse, told as errors of our own: where it stands, and what may be meant."""

import importlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import lightning.pytorch as lightning
import yaml
from jsonargparse import ArgumentParser
from lightning.pytorch.callbacks import ModelCheckpoint

from triscope.data.datamodule import DataModule
from triscope.data.errors import ConfigurationError
from triscope.data.prompts import PromptStyle

COMMAND_LINE = "the command line"
_SECTIONS = {"data": DataModule, "data.prompt_style": PromptStyle, "trainer": lightning.Trainer, "checkpoint": ModelCheckpoint}
_OTHER_KEYS = ("config", "ckpt_path", "seed_everything", "run.folder", "run.wandb", "model.class_path", "model.init_args")

# Of the parser's messages, which nest: the innermost refusal is the cause. `Got value: Namespace(...)` tells of a class.
_NO_FILE = re.compile(r"\"config\": File does not exist: '([^']+)'")
_UNKNOWN_KEY = re.compile(r"(?:[Oo]ption '|unrecognized arguments: -*)([\w.-]+)(.*)")
_OWNER = re.compile(r"Namespace\((?:class_path='([\w.]+)'|.*?class_path='([\w.]+)'\)(?:\. Got value|$))")
_EARLIER_OWNER = re.compile(r"given class_path '(\w+(?:\.\w+)+)'")
_UNKNOWN_NAME = re.compile(r"module '([\w.]+)' has no attribute '(\w+)'")
_KEY = re.compile(r'Parser key "([\w.]+)"')
_LOOP = re.compile(r"Config file loop detected: (\S+)")
_PATH = re.compile(r"Expected a path but (\S+)")
_VALUE = re.compile(r"(?:Got|Given) value: (.+?)(?:\. Got value: .*)?$", re.MULTILINE)
_KIND = re.compile(r"Expected an? (?:<class ')?(?:typing\.)?([^:]+?)(?:'>)?(?:: .*)?(?:\. Got value: .*)?$", re.MULTILINE)
_NOISE = re.compile(
    r"^\W*(?:Does not validate|Subtypes:|Errors:|Given value|Expected a <class 'NoneType'>).*"
    r"|Parser key \"[\w.]+\":|Problem with given class_path '[\w.]+':|\. Got value: Namespace\(.*"
    r"|Type \S.*? expects a function or a callable class:",
    re.MULTILINE,
)
_ABOUT_DEVICES = re.compile(r"accelerator|device|\b[gt]pu|cuda", re.IGNORECASE)


def refused_by_trainer(error: Exception) -> ConfigurationError:
    """What Lightning's Trainer refuses."""
    told = str(error).rstrip(".!")
    remedy = "`triscope doctor` tells what is here" if _ABOUT_DEVICES.search(told) else "correct the trainer's arguments"
    return ConfigurationError("trainer", told, "what Lightning's Trainer takes", remedy)


def with_contents(message: str, arguments: Sequence[str]) -> list[str] | None:
    """A command line with the content of a file in the place of its name, where the parser hides what does not fit in the file:
    it finds the name beside it, and takes it for a loop. What is wrong with this command line, it tells.

    Args:
        message: of the parser.
        arguments: of the command line.

    Returns:
        None where nothing is hidden.
    """
    if not (looping := _LOOP.search(message)):
        return None
    told, file = [], Path(looping[1]).resolve()
    for argument in arguments:
        option, equals, name = argument.rpartition("=")
        content = _parsed(file.read_text()) if Path(name).resolve() == file else None
        told.append(f"{option}{equals}{json.dumps(content, default=str)}" if isinstance(content, dict) else argument)
    return told


def misread(message: str, arguments: Sequence[str]) -> ConfigurationError:
    """What the parser of the configuration refuses.

    Args:
        message: of the parser.
        arguments: of the command line, which begin with the command.
    """
    given = _Given(arguments)
    if missing := _NO_FILE.search(message):
        return ConfigurationError(f"-c {missing[1]}", "no such file", "a recipe or what is laid over one", "correct the path")
    if unknown := _UNKNOWN_KEY.search(message):
        return _unknown_key(unknown, given)
    if unknown := _UNKNOWN_NAME.search(message):
        module, name = unknown.groups()
        where = given.where(place for place in given.places if place.value.endswith(name))
        return ConfigurationError(
            where, f"no {name} in {module}", "a name in it", _meant(name, dir(importlib.import_module(module)))
        )
    if looping := _LOOP.search(message):  # the parser hides what does not fit in a file when it finds the file's name beside it
        remedy = "compare it with the files of its kind under conf"
        return ConfigurationError(looping[1], "a key or value that does not fit", f"what {given.help} lists", remedy)
    if refused := _PATH.search(message):
        remedy = "correct the path; one that stands in a file starts from that file's folder"
        return ConfigurationError(given.where_value(message, refused[1]), refused[1], "the path of a file or a class", remedy)
    kinds = [kind for kind in _KIND.findall(message) if kind != "NoneType"]
    if kinds and (refused := _VALUE.search(message)):
        expected = " or ".join(dict.fromkeys(kinds))
        meant = _meant(refused[1], re.findall(r"'(\w+)'", expected))
        return ConfigurationError(given.where_value(message, refused[1]), refused[1], expected, meant)
    remedy = "correct it"
    if not given.files and "are required" in message:
        remedy = "name a recipe, as in -c conf/recipe/lion_2_region.yaml"
    return ConfigurationError(given.everywhere, _plain(message), f"keys and values that {given.help} lists", remedy)


def _unknown_key(unknown: re.Match[str], given: "_Given") -> ConfigurationError:
    """A key that the class to which it is given does not take, or that the command does not."""
    key, rest = unknown.groups()
    leftover = unknown[0].startswith("unrecognized")
    places = [place for place in given.places if place.ends(key)]
    section, _, rest_of_key = key.partition(".")
    if section in _SECTIONS:  # perhaps in a file of this section alone
        places += [place for place in given.places if place.key == rest_of_key and place.source != COMMAND_LINE]
    where = given.where(places, COMMAND_LINE if leftover else None)
    if owner := _OWNER.search(rest) or _last(_EARLIER_OWNER, unknown.string[: unknown.start()]):
        module, _, name = next(filter(None, owner.groups())).rpartition(".")
        known = _arguments_of(getattr(importlib.import_module(module), name))
        meant = _meant(key.partition(".")[0], known)
        return ConfigurationError(where, f"an unknown key {key!r}", f"an argument of {name}", meant)
    listed = [name for section, kind in _SECTIONS.items() for name in _arguments_of(kind, section)]
    sections = [section for section in _SECTIONS if f"{section}.{key.partition('.')[0]}" in listed]
    if sections and not leftover:  # a file of one section alone, such as conf/trainer/node_fsdp.yaml
        meant = f"if all of the file is of the {sections[0]}, give it with --{sections[0]} in the place of -c"
    else:
        meant = _meant(key, [*listed, *_OTHER_KEYS])
    return ConfigurationError(where, f"an unknown key {key!r}", f"a key that {given.help} lists", meant)


def _last(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    return max(pattern.finditer(text), key=re.Match.start, default=None)


def _meant(name: str, known: Iterable[str]) -> str:
    """The remedy for a name that is not known; keys of one section are alike by its name, which does not make them near."""
    near = [each for each in get_close_matches(name, sorted(known)) if get_close_matches(_key(name), [_key(each)])]
    return f"did you mean {near[0]}" if near else "correct it"


def _key(name: str) -> str:
    return name.rpartition(".")[2]


def _arguments_of(kind: type, section: str | None = None) -> list[str]:
    """What a class takes in a configuration, also on behalf of others; behind the name of a section, if one is given."""
    return ArgumentParser().add_class_arguments(kind, section, fail_untyped=False)


def _plain(message: str) -> str:
    """What the parser says on one line, without the types that it has tried."""
    return " ".join(_NOISE.sub("", message).split())


class _Place(NamedTuple):
    """Where a value is given.

    Args:
        source: the file, or the command line.
        key: with all keys above it.
        value: as text.
    """

    source: str
    key: str
    value: str

    def ends(self, key: str) -> bool:
        """Whether these are the last keys of it."""
        return f".{self.key}".endswith(f".{key}")


class _Given:
    """All that a command line gives, itself and in files.

    Args:
        arguments: of the command line, which begin with the command.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        self.arguments = arguments
        self.help = f"`triscope {arguments[0]} --help`"

    @cached_property
    def files(self) -> list[Path]:
        """The YAML files that the command line names, and those that they name in turn."""
        found: list[Path] = []
        waiting = [Path(argument.rpartition("=")[2]) for argument in self.arguments]
        while waiting:
            file = waiting.pop(0)
            if file.suffix in (".yaml", ".yml") and file not in found and file.is_file():
                found.append(file)
                waiting += [file.parent / place.value for place in _places(str(file), "", _parsed(file.read_text()))]
        return found

    @cached_property
    def places(self) -> list[_Place]:
        """Of every value, those in the files first; also of those inside one, as in `--data.train '{"data/mine": 1}'`."""
        found = [place for file in self.files for place in _places(str(file), "", _parsed(file.read_text()))]
        for argument, following in pairwise([*self.arguments, ""]):
            if argument.startswith("--"):
                key, equals, value = argument[2:].partition("=")
                value = value if equals else following
                found.append(_Place(COMMAND_LINE, key, value))
                found += list(_places(COMMAND_LINE, key, _parsed(value)))[1:]
        return found

    @property
    def everywhere(self) -> str:
        """The files that are no YAML, if there are any, or else all sources."""
        broken = [str(file) for file in self.files if isinstance(_parsed(file.read_text()), yaml.YAMLError)]
        return ", ".join(broken or [*map(str, self.files), COMMAND_LINE])

    def where(self, places: Iterable[_Place], otherwise: str | None = None) -> str:
        """Sources and keys of some places, each once; something else if there are none, which is all sources if not told."""
        return "; ".join(dict.fromkeys(f"{place.source}, {place.key}" for place in places)) or otherwise or self.everywhere

    def where_value(self, message: str, value: str) -> str:
        """Where a value is given to the key that a message names last, or any value if there is no such place."""
        of_key = [place for place in self.places if any(map(place.ends, _KEY.findall(message)[-1:]))]
        return self.where([place for place in of_key if place.value == value] or of_key)


def _parsed(text: str) -> Any:
    """What a text says in YAML, or the error in it."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        return error


def _places(source: str, key: str, value: Any) -> Iterator[_Place]:
    """Of a value, and of all that it holds."""
    if key:
        yield _Place(source, key, str(value))
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _places(source, f"{key}.{name}".lstrip("."), part)
    if isinstance(value, list):
        for number, part in enumerate(value):
            yield from _places(source, f"{key}[{number}]", part)
