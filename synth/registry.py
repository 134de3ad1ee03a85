"""The units that leave Python, by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import hdl.fp16_unit
import hdl.nmpu
import hdl.scale_array
from golden_model.errors import UserError
from golden_model.fp16_unit import Fp16Config
from golden_model.nmpu_config import Input, NmpuConfig
from golden_model.scale_array.config import HCIM_A, HCIM_B, HCIM_WIDE, ScaleArrayConfig
from hdl.float16 import multiply_add


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
    shown: Mapping[str, Any]
    """Configurations of the page's table of latencies, by title."""
    interval: Callable[[Any], int] = lambda config: 1
    """Configuration -> cycles from one accepted word to the next, without back pressure."""
    hosted: Callable[[Any], Any] | None = None
    """Configuration -> the same component with the ports of a host (`hdl.frame`), as it stands behind a bus; None where
    there is no package of it."""
    identifier: int = 0
    """What software reads at the start of its register map: four ASCII letters."""
    standing: Callable[[Any], tuple[str, ...]] = lambda config: ()
    """Configuration -> registers that stand still before a word needs them; all their paths but those to one another
    and to the flags have two cycles."""
    parts: Callable[[Any], Mapping[str, Any]] = lambda config: {}
    """Configuration -> what is synthesised by itself, by name: functions that give an Amaranth component."""

    def latency(self, config: Any) -> int:
        """Return the cycles from an accepted word to its result, without back pressure."""
        return sum(latency for _, _, latency in self.stages(config))

    def part(self, name: str, config: Any) -> Any:
        """Return a part of the unit as an Amaranth component; UserError where there is none of that name."""
        found = self.parts(config)
        if name not in found:
            raise UserError(
                f"{self.name} has no part {name!r} in this configuration: there are {', '.join(found) or 'none'}"
            )
        return found[name]()


_ALONE = NmpuConfig(partial_sum=False, residual=False)

UNITS: dict[str, Unit] = {
    unit.name: unit
    for unit in (
        Unit(
            name="nmpu",
            title="fixed-point near-memory processing unit",
            config=NmpuConfig,
            component=hdl.nmpu.create,
            hosted=partial(hdl.nmpu.create, host=True),
            identifier=int.from_bytes(b"NMPU", "big"),
            members=hdl.nmpu.members,
            stages=lambda config: hdl.nmpu.Schedule(config).table,
            meanings=hdl.nmpu.MEANINGS,
            shown={
                "affine, ReLU": _ALONE,
                "and partial sums": NmpuConfig(residual=False),
                "and residual (default)": NmpuConfig(),
                "and batch norm": NmpuConfig(batch_norm=True),
                "affine, batch norm, ReLU": replace(_ALONE, batch_norm=True),
                "affine, residual, ReLU": NmpuConfig(partial_sum=False),
            },
            standing=hdl.nmpu.standing,
            parts=lambda config: {
                "lane": lambda: hdl.nmpu.Lane(config),
                **{stage.label: stage.component for stage in hdl.nmpu.Schedule(config).stages},
            },
        ),
        Unit(
            name="fp16_unit",
            title="the binary16 unit that the NMPU replaces",
            config=Fp16Config,
            component=hdl.fp16_unit.create,
            hosted=partial(hdl.fp16_unit.create, host=True),
            identifier=int.from_bytes(b"FP16", "big"),
            members=hdl.fp16_unit.members,
            stages=lambda config: hdl.fp16_unit.Schedule(config).table,
            meanings=hdl.fp16_unit.MEANINGS,
            shown={
                "two counts (default)": Fp16Config(),
                "INT8 sums": Fp16Config(int8=True),
                "a signed code": Fp16Config(input=Input.CODE),
                "one cycle a multiply-add": Fp16Config(multiply_add_cycles=1),
                "six cycles a multiply-add": Fp16Config(multiply_add_cycles=6),
            },
            standing=hdl.fp16_unit.standing,
            parts=lambda config: {"multiply_add": multiply_add(config.multiply_add_cycles).component},
        ),
        Unit(
            name="scale_array",
            title="digital scale-factor array of HCiM",
            config=ScaleArrayConfig,
            component=hdl.scale_array.create,
            members=hdl.scale_array.members,
            stages=lambda config: hdl.scale_array.Schedule(config).table,
            meanings=hdl.scale_array.MEANINGS,
            shown={"A (default)": HCIM_A, "B": HCIM_B, "wide": HCIM_WIDE},
            interval=lambda config: hdl.scale_array.Schedule(config).interval,
        ),
    )
}


def unit(name: str) -> Unit:
    """Return the unit of that name."""
    if name not in UNITS:
        raise UserError(f"unit {name!r}: there are {', '.join(sorted(UNITS))}")
    return UNITS[name]
