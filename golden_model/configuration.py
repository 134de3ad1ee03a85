"""Configurations from text: TOML files and `key=value` words onto frozen dataclasses, every mistake named."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import tomllib
import types
import typing
from collections.abc import Hashable, Iterable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar, cast

from golden_model.errors import UserError

T = TypeVar("T")


def read(path: Path, base: T) -> T:
    """Return `base` with the fields that a TOML file names replaced; tables are nested configurations."""
    try:
        mapping = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not TOML: {error}") from error
    return replaced(base, mapping, str(path))


def words(base: T, assignments: list[str], where: str) -> T:
    """Return `base` with `key=value` words applied, all at once; a dot in a key enters a nested configuration.

    At once, since fields that bind each other (a sum's width and a scale's) may have no valid order.
    """
    changes: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals:
            raise UserError(f"{where} {assignment!r}: write key=value, for example read_noise=false")
        *path, last = key.strip().split(".")
        level = changes
        for part in path:
            if not isinstance(level.get(part), dict):
                level[part] = {}
            level = level[part]
        level[last] = value.strip()
    return replaced(base, changes, where)


def unknown(key: str, allowed: Iterable[str], where: str) -> UserError:
    """Return the error for a key that is not among those allowed: it names the nearest."""
    allowed = sorted(allowed)
    near = difflib.get_close_matches(key, allowed, 1)
    hint = f"did you mean {near[0]}? " if near else ""
    return UserError(f"{where}: unknown key {key!r}; {hint}allowed: {', '.join(allowed)}")


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def replaced(base: T, mapping: Mapping[str, Any], where: str) -> T:
    """Return the dataclass `base` with some fields replaced by values as TOML or a command line gives them."""
    hints = _hints(cast(Hashable, type(base)))
    fields = {f.name for f in dataclasses.fields(base)} - {"name"}  # type: ignore[arg-type]  # a dataclass, as every T
    changes = {}
    for key, value in mapping.items():
        if key not in fields:
            raise unknown(key, fields, where)
        old = getattr(base, key)
        if dataclasses.is_dataclass(old) and isinstance(value, Mapping):
            changes[key] = replaced(old, value, f"{where}: {key}")
        else:
            changes[key] = _value(hints[key], value, f"{where}: {key}")
    try:
        return dataclasses.replace(base, **changes)  # type: ignore[type-var]  # a dataclass, as every T
    except UserError as error:
        raise UserError(f"{where}: {error}") from error


def _value(hint: Any, value: Any, where: str) -> Any:
    """Return one value as the field's type wants it."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        hint = next(kind for kind in typing.get_args(hint) if kind is not type(None))
    text = value if isinstance(value, str) else None
    if hint is bool:
        if text is not None and text.lower() in ("true", "false"):
            return text.lower() == "true"
        if isinstance(value, bool):
            return value
        raise UserError(f"{where} = {value!r}: allowed are true and false")
    if hint in (int, float):
        try:
            if isinstance(value, bool) or (hint is int and isinstance(value, float)):
                raise ValueError
            return hint(value)
        except (TypeError, ValueError):
            kind = "a whole number" if hint is int else "a number"
            raise UserError(f"{where} = {value!r}: {kind} is wanted") from None
    if isinstance(hint, type) and issubclass(hint, Enum):
        allowed = {member.value: member for member in hint}
        if value not in allowed:
            raise UserError(f"{where} = {value!r}: allowed are {', '.join(map(str, allowed))}")
        return allowed[value]
    parse = getattr(hint, "parse", None)
    if parse is not None and text is not None:
        try:
            return parse(text)
        except UserError as error:
            raise UserError(f"{where}: {error}") from error
    if hint is str and text is not None:
        return text
    raise UserError(f"{where} = {value!r}: this is not a value of {getattr(hint, '__name__', hint)}")


def plain(value: Any) -> Any:
    """Return a configuration as dictionaries, numbers and text that `replaced` reads back."""
    if isinstance(value, Enum):
        return value.value
    if hasattr(type(value), "parse"):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    return value
