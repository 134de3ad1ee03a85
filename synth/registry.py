"""The units that leave Python, by name."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from golden_model.errors import UserError
from golden_model.nmpu_config import NmpuConfig
from hdl.nmpu import Nmpu


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A unit: how to build it, and from which configuration."""

    name: str
    component: Callable[[Any], Any]
    config: type


UNITS: dict[str, Unit] = {"nmpu": Unit(name="nmpu", component=Nmpu, config=NmpuConfig)}


def unit(name: str) -> Unit:
    """Return the unit of that name."""
    if name not in UNITS:
        raise UserError(f"unit {name!r}: there are {', '.join(sorted(UNITS))}")
    return UNITS[name]
