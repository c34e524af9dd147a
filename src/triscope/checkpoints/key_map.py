"""From the names of one layout to those of another: rules, and the strict check that they account for every tensor.

A rule is a pair of patterns. `#` stands for a number and `*` for the rest of a name; both are carried over in order:

    Rule("Qformer.bert.encoder.layer.#.attention.self.*", "bridges.qformer.qformer.layers.#.attention.attention.*")
"""

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property

import torch
from torch import Tensor

from triscope.data.errors import ConfigurationError

SHOWN_NAMES = 3
Transform = Callable[..., Tensor]


@dataclass(frozen=True)
class Rule:
    """Where tensors of a source go.

    Args:
        source: pattern of their names; several for a tensor made of several, whose captures are those of the first.
        target: pattern of the new name.
        transform: makes the new tensor of the old ones, on the meta device too; None takes it as it is.
        undo: makes the old tensor of the new one, for rules that export uses too.
        unless: why a tensor is left out where the model does not have its block, or, if it is in none, its name; None makes
            that an error.
    """

    source: str | tuple[str, ...]
    target: str
    transform: Transform | None = None
    undo: Transform | None = None
    unless: str | None = None

    @property
    def sources(self) -> tuple[str, ...]:
        return (self.source,) if isinstance(self.source, str) else self.source

    def inverse(self) -> "Rule":
        """The way back."""
        return Rule(self.target, self.sources[0], self.undo, self.transform)


@dataclass(frozen=True)
class LeftOut:
    """Tensors of a source that are not taken, and why."""

    pattern: str
    reason: str


@dataclass(frozen=True)
class Entry:
    """One new tensor: its name, the names of those it is made of, how, and what comes out (on the meta device)."""

    target: str
    sources: tuple[str, ...]
    transform: Transform | None
    shape: Tensor = field(compare=False)

    def make(self, read: Callable[[str], Tensor]) -> Tensor:
        """The new tensor."""
        tensors = [read(name) for name in self.sources]
        return self.transform(*tensors) if self.transform is not None else tensors[0]


@dataclass(frozen=True)
class Mapped:
    """All tensors of a source accounted for: those that are taken, and those left out by reason."""

    entries: tuple[Entry, ...]
    left_out: dict[str, list[str]]


@dataclass(frozen=True)
class KeyMap:
    """The rules of a layout.

    Args:
        rules: each tensor goes by every rule that it fits.
        left_out: what is not taken. Looked at only where no rule fits.
    """

    rules: tuple[Rule, ...]
    left_out: tuple[LeftOut, ...] = ()

    def inverse(self) -> "KeyMap":
        """The map back; only for rules that take one tensor each."""
        return KeyMap(tuple(rule.inverse() for rule in self.rules))

    def known(self, names: Sequence[str]) -> int:
        """How many of the names a rule or an exception speaks of."""
        return sum(any(_Pattern(each).captures(name) is not None for each in self._patterns) for name in names)

    def renamed(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Every tensor that a rule speaks of, by its new name. Nothing is checked."""
        found = {}
        for rule in self.rules:
            for name in tensors:
                if (captures := _Pattern(rule.sources[0]).captures(name)) is not None:
                    parts = [tensors[_Pattern(each).filled(captures)] for each in rule.sources]
                    found[_Pattern(rule.target).filled(captures)] = rule.transform(*parts) if rule.transform else parts[0]
        return found

    def apply(self, source: Mapping[str, Tensor], expected: Mapping[str, Tensor], where: str) -> Mapped:
        """Account for every tensor on both sides.

        Args:
            source: names and shapes of what there is; on the meta device is enough.
            expected: names and shapes of what must come out.
            where: the source, for messages.

        Raises:
            ConfigurationError: a tensor of the source that no rule speaks of, or that goes to no place; one of ours that stays
                empty; or another shape.
        """
        entries: dict[str, Entry] = {}
        left_out: dict[str, list[str]] = defaultdict(list)
        used: set[str] = set()
        for rule in self.rules:
            first = _Pattern(rule.sources[0])
            for name in source:
                captures = first.captures(name)
                if captures is None:
                    continue
                names = tuple(_Pattern(each).filled(captures) for each in rule.sources)
                target = _Pattern(rule.target).filled(captures)
                used.update(names)
                if rule.unless is not None and _is_absent(rule.target, captures, expected):
                    left_out[rule.unless] += names
                    continue
                absent = [each for each in names if each not in source]
                if absent:
                    raise _misfit(where, f"{name} without {absent[0]}", "both of them", "give the file that belongs to it")
                entries[target] = Entry(
                    target, names, rule.transform, _shape(rule, [source[each] for each in names], names, where)
                )
        for name in (name for name in source if name not in used):
            reason = next((each.reason for each in self.left_out if _Pattern(each.pattern).captures(name) is not None), None)
            if reason is None:
                raise _unknown([each for each in source if each not in used and not self.known([each])], where)
            left_out[reason].append(name)
        _check(entries, expected, where)
        return Mapped(tuple(entries[name] for name in expected), dict(left_out))

    @cached_property
    def _patterns(self) -> list[str]:
        return [each for rule in self.rules for each in rule.sources] + [each.pattern for each in self.left_out]


@dataclass(frozen=True)
class _Pattern:
    """A name with `#` for a number and `*` for its rest."""

    text: str

    def captures(self, name: str) -> tuple[str, ...] | None:
        found = _compiled(self.text).fullmatch(name)
        return found.groups() if found else None

    def filled(self, captures: Sequence[str]) -> str:
        waiting = list(captures)
        return "".join(waiting.pop(0) if part in ("#", "*") else part for part in re.split(r"([#*])", self.text))


@cache
def _compiled(text: str) -> re.Pattern:
    parts = {"#": r"(\d+)", "*": "(.*)"}
    return re.compile("".join(parts.get(part) or re.escape(part) for part in re.split(r"([#*])", text)))


def _is_absent(pattern: str, captures: Sequence[str], expected: Mapping[str, Tensor]) -> bool:
    """Whether the model has nothing at all where a tensor goes: no such block, or no tensor of this name."""
    before_number, number, _ = pattern.partition("#")
    block = _Pattern(before_number + number).filled(captures)
    return not any(name.startswith(f"{block}.") if number else name == block for name in expected)


def _shape(rule: Rule, tensors: list[Tensor], names: Sequence[str], where: str) -> Tensor:
    """What comes out of a rule, told by running it on tensors without content."""
    if rule.transform is None:
        return tensors[0]
    try:
        return rule.transform(*[torch.empty_like(tensor, device="meta") for tensor in tensors])
    except (RuntimeError, IndexError) as error:
        shapes = ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in zip(names, tensors, strict=True))
        raise _misfit(where, shapes, f"shapes that fit together ({error})", "give the file that belongs to it") from None


def _check(entries: Mapping[str, Entry], expected: Mapping[str, Tensor], where: str) -> None:
    spare = [name for name in entries if name not in expected]
    if spare:
        found = f"{_listed(entries[spare[0]].sources)} for {_listed(spare)}, which the model does not have"
        raise _misfit(where, found, "a model with a place for every tensor", "give the model file of this size and these parts")
    missing = [name for name in expected if name not in entries]
    if missing:
        remedy = "give the whole checkpoint, or the model file whose parts it has"
        raise _misfit(where, f"nothing for {_listed(missing)}", f"all {len(expected)} tensors of the model's parts", remedy)
    for name, tensor in expected.items():
        made = entries[name].shape
        if made.shape != tensor.shape:
            told = f"{_listed(entries[name].sources)} of shape {tuple(made.shape)}"
            remedy = "give the model file of this size, or the weights that belong to it"
            raise _misfit(where, told, f"{tuple(tensor.shape)} for {name}", remedy)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    return ", ".join(names[:SHOWN_NAMES]) + more


def _unknown(names: Sequence[str], where: str) -> ConfigurationError:
    return _misfit(where, f"tensors of no known place: {_listed(names)}", "only tensors of this kind", "check the kind")


def _misfit(where: str, found: str, expected: str, remedy: str) -> ConfigurationError:
    return ConfigurationError(f"weights {where}", found, expected, remedy)
