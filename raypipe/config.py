"""One frozen dataclass per owner, read once at the edge: YAML, then ``key=value`` overrides."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import yaml

from raypipe.errors import WrongUsage

T = TypeVar("T")


def read_config(cls: type[T], values: Mapping[str, Any] | None = None, overrides: Sequence[str] = ()) -> T:
    """Build ``cls`` (a frozen dataclass, nested ones allowed) from ``values`` and then ``a.b=value`` overrides.

    Raises:
        WrongUsage: names every unknown key, missing key and wrong type at once.
    """
    tree = _deep_copy(values or {})
    problems: list[str] = []
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator:
            problems.append(f"{override!r} is not of the form key=value")
            continue
        try:
            _set_key(tree, key.split("."), yaml.safe_load(text))
        except yaml.YAMLError as error:
            problems.append(f"{override!r}: the value is not valid YAML: {error}")
    built = _build(cls, tree, "", problems)
    if problems:
        raise WrongUsage("\n".join(problems))
    return typing.cast(T, built)


@dataclass(frozen=True, kw_only=True)
class Range:
    """Numbers that are allowed: ``least`` and ``most`` themselves are, ``above`` and ``below`` are not."""

    least: float = -math.inf
    above: float = -math.inf
    most: float = math.inf
    below: float = math.inf

    def __contains__(self, number: float) -> bool:
        return self.least <= number <= self.most and self.above < number < self.below

    def __str__(self) -> str:
        """In words."""
        if math.isfinite(self.least) and math.isfinite(self.most):
            return f"from {self.least:g} to {self.most:g}"
        bounds = (("at least", self.least), ("above", self.above), ("at most", self.most), ("below", self.below))
        return " and ".join(f"{words} {bound:g}" for words, bound in bounds if math.isfinite(bound))


def check_ranges(config: Any, ranges: Mapping[str, Range], others: Sequence[str] = ()) -> None:
    """To be called when a config is made. ``ranges``: by the field's name; a None is in all of them.

    Raises:
        WrongUsage: names every number out of its range at once, and the ``others``: what else is wrong, a line each.
    """
    numbers = {name: getattr(config, name) for name in ranges}
    problems = [
        f"{name} must be {ranges[name]}, got {number:g}"
        for name, number in numbers.items()
        if number is not None and number not in ranges[name]
    ]
    if problems or others:
        raise WrongUsage("\n".join((*problems, *others)))


def read_yaml(text: str) -> dict[str, Any]:
    """A YAML mapping.

    Raises:
        WrongUsage: not YAML, or not a mapping.
    """
    try:
        tree = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise WrongUsage(f"not valid YAML: {error}") from error
    if not isinstance(tree, dict):
        raise WrongUsage(f"expected a mapping of settings, got {type(tree).__name__}")
    return tree


def as_dict(config: Any) -> dict[str, Any]:
    """The resolved config as plain values, for ``run.json`` and for ``--dry-run``."""
    return {field.name: _plain(getattr(config, field.name)) for field in dataclasses.fields(config)}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return as_dict(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return value


def _deep_copy(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _deep_copy(value) if isinstance(value, Mapping) else value for key, value in tree.items()}


def _set_key(tree: dict[str, Any], path: list[str], value: Any) -> None:
    for name in path[:-1]:
        child = tree.setdefault(name, {})
        if not isinstance(child, dict):
            child = tree[name] = {}
        tree = child
    tree[path[-1]] = value


def _build(cls: Any, tree: Mapping[str, Any], prefix: str, problems: list[str]) -> Any:
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}
    for key in tree:
        if key not in fields:
            problems.append(f"unknown key {prefix + str(key)!r}; known: {', '.join(prefix + name for name in fields)}")
    arguments: dict[str, Any] = {}
    for name, field in fields.items():
        if name in tree:
            arguments[name] = _convert(tree[name], hints[name], prefix + name, problems)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            problems.append(f"missing key {prefix + name!r}")
    return None if problems else cls(**arguments)


def _convert(value: Any, wanted: Any, where: str, problems: list[str]) -> Any:
    origin, choices = typing.get_origin(wanted), typing.get_args(wanted)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in choices:
            return None
        return _convert(value, next(c for c in choices if c is not type(None)), where, problems)
    if origin is tuple and isinstance(value, (list, tuple)):
        return tuple(_convert(item, choices[0], f"{where}[{i}]", problems) for i, item in enumerate(value))
    if origin in (dict, Mapping) or (origin is not None and issubclass(origin, Mapping)):
        if isinstance(value, Mapping):
            return {key: _convert(item, choices[1], f"{where}.{key}", problems) for key, item in value.items()}
    elif dataclasses.is_dataclass(wanted) and isinstance(value, Mapping):
        return _build(wanted, value, where + ".", problems)
    elif wanted is float and (number := _finite(value)) is not None:
        return number
    elif (
        (wanted is int and isinstance(value, int) and not isinstance(value, bool))
        or wanted is Any
        or (wanted in (str, bool) and isinstance(value, wanted))
    ):
        return value
    problems.append(f"{where!r} must be {_type_name(wanted)}, got {value!r}")
    return None


def _finite(value: Any) -> float | None:
    """A number, also one that YAML 1.1 takes for a word (``1e-4``); None for anything else, nan and inf."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _type_name(wanted: Any) -> str:
    return getattr(wanted, "__name__", str(wanted)) if typing.get_origin(wanted) is None else str(wanted)
