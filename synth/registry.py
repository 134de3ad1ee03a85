"""The units that leave Python, by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import hdl.nmpu
from golden_model.errors import UserError
from golden_model.nmpu_config import NmpuConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One unit: how to build it, from which configuration, and what its page says of it without building it."""

    name: str
    """Name on the command line, of the Verilog module, and of the page `docs/units/NAME.md`."""
    title: str
    """What it is, in a few words."""
    config: type
    """Class of its configurations; the default one is built without arguments."""
    component: Callable[[Any], Any]
    """Configuration -> Amaranth component."""
    members: Callable[[Any], dict[str, Any]]
    """Configuration -> members of the component's signature."""
    stages: Callable[[Any], list[tuple[str, int, int]]]
    """Configuration -> name, step and latency of every stage, in the order of the data."""
    meanings: Mapping[str, str]
    """What each port (`write.mask`), or field of a stream's lane (`i.first`), carries."""

    def latency(self, config: Any) -> int:
        """Return the cycles from an accepted word to its result, without back pressure."""
        return sum(latency for _, _, latency in self.stages(config))


UNITS: dict[str, Unit] = {
    unit.name: unit
    for unit in (
        Unit(
            name="nmpu",
            title="fixed-point near-memory processing unit",
            config=NmpuConfig,
            component=hdl.nmpu.create,
            members=hdl.nmpu.members,
            stages=lambda config: hdl.nmpu.Schedule(config).table,
            meanings=hdl.nmpu.MEANINGS,
        ),
    )
}


def unit(name: str) -> Unit:
    """Return the unit of that name."""
    if name not in UNITS:
        raise UserError(f"unit {name!r}: there are {', '.join(sorted(UNITS))}")
    return UNITS[name]
