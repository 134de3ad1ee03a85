"""The registers behind the bus as data: the hardware, the tables and the C header are built from the same entries."""

from dataclasses import dataclass
from enum import Enum
from typing import Any

from amaranth.hdl import Shape

from golden_model.errors import UserError

ALIGNED = 4
"""Bytes a register: one word of the bus. Every other address is answered with an error."""
WORD = 8 * ALIGNED
MAP = 1
"""Version of the map, in the register `map`; it rises where software would have to change."""


class Access(Enum):
    """What the bus may do to a register."""

    READ = "R"
    """Read; a write is an error."""
    WRITE = "RW"
    """Read and write."""
    CLEAR = "RW1C"
    """Read; a 1 that is written clears the bit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bits:
    """One field of a register."""

    name: str
    """Name."""
    low: int
    """Lowest bit."""
    width: int
    """Bits."""
    signed: bool = False
    """Whether it is two's complement: reads extend the sign to the whole word."""

    @property
    def span(self) -> str:
        """Return the bits as text, `[7:0]`."""
        return f"[{self.low}]" if self.width == 1 else f"[{self.low + self.width - 1}:{self.low}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Register:
    """One register, or `count` of them at a `stride`."""

    name: str
    """Name, in small letters."""
    offset: int
    """Byte address of the (first) register."""
    access: Access
    """What the bus may do."""
    meaning: str
    """What it holds."""
    fields: tuple[Bits, ...]
    """Fields, the lowest first; bits without a field read as 0 and are ignored when written."""
    value: int | None = None
    """What it always reads as, where that is fixed."""
    count: int = 1
    """How many there are."""
    stride: int = ALIGNED
    """Bytes from one to the next."""
    when_idle: bool = False
    """Whether it is reached only while the unit is idle; an error otherwise."""

    @property
    def address(self) -> str:
        """Return the byte address as text."""
        return f"0x{self.offset:05X}" + (f" + 0x{self.stride:X} * n" if self.count > 1 else "")


def _room(count: int) -> int:
    """Return the power of two that holds so many."""
    return 1 << (count - 1).bit_length()


class RegisterMap:
    """The registers of one unit: `registers`, and where its two arrays begin.

    Parameters: `identifier`, `latency`, `fingerprint` (32 bits each) as read by software; lanes, columns a lane; the
    unit's signature `members`, with the layouts of its parameters and layer registers.

    A parameter has a register a column and field: `parameters` + column * `column_stride` + 4 * field. Raises UserError
    where a field or the layer registers are wider than the bus.
    """

    def __init__(
        self, members: dict[str, Any], *, units: int, columns: int, identifier: int, latency: int, fingerprint: int
    ) -> None:
        self.units, self.columns, self.count = units, columns, units * columns
        write = members["write"].signature.members
        layer = members["layer"].signature.members
        self.parameter_fields = _fields(write["data"].shape)
        self.layer_fields = _fields(layer["data"].shape) if "data" in layer else ()
        for field in self.parameter_fields:
            if field.width > WORD:
                raise UserError(f"{field.name} has {field.width} bits: behind the bus a parameter has at most {WORD}")
        self.flag_words = -(-self.count // WORD)
        self.flags = max(0x40, ALIGNED * _room(self.flag_words))
        self.column_stride = ALIGNED * _room(len(self.parameter_fields))
        self.parameters_size = size = self.column_stride * _room(self.count)
        end = self.flags + ALIGNED * _room(self.flag_words)
        self.parameters = -(-end // size) * size  # a multiple of its size: the column's bits stand alone
        self.size = _room(self.parameters + size)
        self.address_bits = (self.size - 1).bit_length()
        facts = {
            "id": (identifier, "which unit this is, four ASCII letters"),
            "map": (MAP, "version of this map"),
            "units": (units, "lanes side by side"),
            "columns": (columns, "columns that share one lane; column = word * units + lane"),
            "fields": (len(self.parameter_fields), "parameters a column"),
            "latency": (latency, "cycles from an accepted word to its result"),
            "configuration": (fingerprint, "the first 32 bits of the SHA-256 of the configuration"),
        }
        self.registers = tuple(self._fixed(facts)) + tuple(self._state()) + tuple(self._parameters())

    def _fixed(self, facts: dict[str, tuple[int, str]]) -> list[Register]:
        whole = (Bits(name="value", low=0, width=WORD),)
        return [
            Register(
                name=name,
                offset=ALIGNED * n,
                access=Access.READ,
                meaning=meaning,
                fields=whole,
                value=value & 0xFFFFFFFF,
            )
            for n, (name, (value, meaning)) in enumerate(facts.items())
        ]

    def _state(self) -> list[Register]:
        registers = [
            Register(
                name="status",
                offset=0x20,
                access=Access.READ,
                meaning="idle: no word is under way and the next one is word 0 of a vector; saturated: some flag is up",
                fields=(Bits(name="idle", low=0, width=1), Bits(name="saturated", low=1, width=1)),
            ),
            Register(
                name="control",
                offset=0x24,
                access=Access.WRITE,
                meaning="hold: no new vector is taken; the one that has begun still is. 0 after reset",
                fields=(Bits(name="hold", low=0, width=1),),
            ),
        ]
        if self.layer_fields:
            registers.append(
                Register(
                    name="layer",
                    offset=0x28,
                    access=Access.WRITE,
                    meaning="the layer registers, all at once; a write clears every flag",
                    fields=self.layer_fields,
                    when_idle=True,
                )
            )
        flags = Register(
            name="flags",
            offset=self.flags,
            access=Access.CLEAR,
            meaning="saturation flags of the columns 32 n to 32 n + 31; "
            "a column that saturates in the cycle of its clear stays up",
            fields=(Bits(name="saturated", low=0, width=min(WORD, self.count)),),
            count=self.flag_words,
        )
        return [*registers, flags]

    def _parameters(self) -> list[Register]:
        return [
            Register(
                name=field.name,
                offset=self.parameters + ALIGNED * n,
                access=Access.WRITE,
                meaning="parameter of column n, a code in the configuration's format; a write clears the column's flag",
                fields=(Bits(name="code", low=0, width=field.width, signed=field.signed),),
                count=self.count,
                stride=self.column_stride,
                when_idle=True,
            )
            for n, field in enumerate(self.parameter_fields)
        ]

    def __getitem__(self, name: str) -> Register:
        """Return the register of a name."""
        return next(register for register in self.registers if register.name == name)


def _fields(layout: Any) -> tuple[Bits, ...]:
    """Return the fields of an Amaranth layout, packed as they stand there."""
    found = []
    for name, field in layout:
        inner = Shape.cast(field.shape)
        found.append(Bits(name=name, low=field.offset, width=inner.width, signed=inner.signed))
    return tuple(found)
