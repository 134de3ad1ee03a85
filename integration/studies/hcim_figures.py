"""What is published of HCiM's energy, time and area, each figure with its source.

    energy of one word of the array = E(zeros) / columns              E: Fig. 5a, a stream through all columns, pJ
    ~ fixed + compute * (1 - zeros)                                   fitted, so that counters of words give energy

A word is one column and one input bit: one comparator result p, or one conversion of a converter in its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

import numpy as np

from golden_model.errors import UserError
from golden_model.scale_array.config import HCIM_A, HCIM_B, ScaleArrayConfig

PAPER = "S. Negi et al., HCiM: ADC-Less Hybrid Analog-Digital Compute in Memory Accelerator, 2024, arXiv 2403.13577"


class Design(Enum):
    """How the columns of a crossbar are read out."""

    SAR7 = "SAR ADC, 7 bit"
    SAR6 = "SAR ADC, 6 bit"
    FLASH4 = "flash ADC, 4 bit"
    BINARY = "HCiM binary"
    TERNARY = "HCiM ternary"


ADCS = (Design.SAR7, Design.SAR6, Design.FLASH4)
"""Designs with a conversion a word and a shift-add behind it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A row of the paper's Table 3."""

    ns: float
    """Time a column, ns."""
    pj: float
    """Energy a column, pJ."""
    mm2: float
    """Area: of one converter, or of one whole array (inferred: that of A and B goes as their columns), mm2."""


CONVERTERS: Mapping[Design, Column] = {
    Design.SAR7: Column(ns=1.52, pj=4.1, mm2=0.004),
    Design.SAR6: Column(ns=0.15, pj=0.59, mm2=0.027),
    Design.FLASH4: Column(ns=0.05, pj=1.86, mm2=0.003),
}
"""Paper, Table 3."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumed:
    """A figure that is not in the paper."""

    what: str
    pj: float
    """Energy of one, pJ."""
    source: str


COMPARATOR = Assumed(
    what="comparison, one a word in binary, two in ternary",
    pj=0.067,
    source=(
        "Satapathy and Kaur, Circuits Syst. Signal Process. 42, 5108 (2023), abstract: worst case, 65 nm, simulated; "
        "not scaled"
    ),
)
SHIFT_ADD = Assumed(
    what="shift-add, one a conversion; of an array's sums, one a sum",
    pj=0.05,
    source="PUMA simulator, include/constants.py, sna: 0.05 mW at 1 ns, 32 nm; that HCiM took it is inferred",
)
REGISTERS = Assumed(
    what="access to a register file, read or store",
    pj=0.16,
    source="the same, xbar_outMem of 128 columns: 0.16 mW at 1 ns; one access a word is inferred",
)

ZEROS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Fractions of p = 0 in Fig. 5a; its ticks bear no labels, 0.6 to 0.9 are inferred from their spacing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """A word's energy as a part that is always spent and one that p = 0 saves, least squares over Fig. 5a."""

    fixed_pj: float
    compute_pj: float
    residual_pj: float
    """The largest distance from a point: Fig. 5a is no straight line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DcimArray:
    """A scale-factor array whose energy is published, 65 nm scaled to 32 nm by the paper."""

    name: str
    config: ScaleArrayConfig
    column: Column
    """Its row in Table 3."""
    stream_pj: tuple[float, ...]
    """Fig. 5a at `ZEROS`, read off: one stream through all columns, pJ."""

    def word_pj(self, zeros: float) -> float:
        """Return a word's energy where a fraction `zeros` (0..1) of p is 0, pJ: Fig. 5a, straight between its points.

        The last piece goes on beyond 0.9 (inferred). The curve is concave: a mean fraction gives no less than the mean
        energy of arrays with different ones.
        """
        if not 0 <= zeros <= 1:
            raise UserError(f"zeros = {zeros}: the fraction of p = 0 is 0 to 1")
        if zeros > ZEROS[-1]:
            step = (self.stream_pj[-1] - self.stream_pj[-2]) / (ZEROS[-1] - ZEROS[-2])
            return (self.stream_pj[-1] + step * (zeros - ZEROS[-1])) / self.config.columns
        return float(np.interp(zeros, ZEROS, self.stream_pj)) / self.config.columns

    @property
    def fit(self) -> Fit:
        """Return the straight line through Fig. 5a, a word."""
        points, active = np.array(self.stream_pj) / self.config.columns, 1 - np.array(ZEROS)
        compute, fixed = np.polyfit(active, points, 1)
        residual = np.abs(fixed + compute * active - points).max()
        return Fit(fixed_pj=float(fixed), compute_pj=float(compute), residual_pj=float(residual))


def read_off(zeros: float) -> bool:
    """Return whether Fig. 5a has points on both sides close by: at 0, and from 0.5 to 0.9."""
    return zeros == 0 or ZEROS[1] <= zeros <= ZEROS[-1]


ARRAY_A = DcimArray(
    name="A",
    config=HCIM_A,
    column=Column(ns=0.06, pj=0.22, mm2=0.009),
    stream_pj=(28.0, 21.4, 19.0, 16.6, 13.1, 9.2),
)
ARRAY_B = DcimArray(
    name="B",
    config=HCIM_B,
    column=Column(ns=0.1, pj=0.22, mm2=0.005),
    stream_pj=(14.0, 10.6, 9.4, 8.2, 6.5, 4.6),
)


def array_of(config: ScaleArrayConfig) -> DcimArray:
    """Return the published array of that geometry; UserError where there is none."""
    for array in (ARRAY_A, ARRAY_B):
        one = array.config
        if (one.columns, one.scale_bits, one.sum_bits) == (config.columns, config.scale_bits, config.sum_bits):
            return array
    raise UserError(
        f"{config.columns} columns, scales of {config.scale_bits} and sums of {config.sum_bits} bits: energies are "
        "published for 128 or 64 columns, 4 and 8 bits alone"
    )


NETWORKS = ("ResNet-20", "WRN-20", "VGG9", "VGG11", "ResNet-32", "ResNet-44")
_EVERY = len(NETWORKS)
ENERGY: Mapping[str, Mapping[Design, tuple[float, ...]]] = {
    "A": {
        Design.SAR7: (15.3, 22.78, 28.81, 28.4, 15.59, 15.72),
        Design.SAR6: (3.07, 3.59, 5.14, 5.08, 3.04, 3.13),
        Design.FLASH4: (7.39, 8.97, 11.95, 11.8, 7.52, 7.58),
        Design.BINARY: (1.16, 1.19, 1.27, 1.26, 1.16, 1.16),
    },
    "B": {
        Design.SAR6: (3.2, 2.52, 3.57, 3.53, 3.21, 3.22),
        Design.FLASH4: (8.0, 5.84, 9.19, 9.06, 8.04, 8.06),
        Design.BINARY: (1.17, 1.12, 1.2, 1.2, 1.17, 1.17),
    },
}
"""Paper, Figs. 6a (A) and 7 (B): energy of the whole system over that of HCiM ternary, by `NETWORKS`."""
LATENCY_AREA: Mapping[str, Mapping[Design, tuple[float, ...]]] = {
    "A": {
        Design.SAR7: (11.04, 10.68, 12.69, 12.5, 11.07, 9.91),
        Design.SAR6: (3.93, 3.6, 4.45, 4.41, 3.88, 3.95),
        Design.FLASH4: (0.9,) * _EVERY,
        Design.BINARY: (0.99,) * _EVERY,
    },
    "B": {
        Design.SAR6: (3.3, 3.09, 3.89, 3.89, 3.3, 3.3),
        Design.FLASH4: (0.64, 0.64, 0.71, 0.71, 0.64, 0.64),
    },
}
"""The same figures: latency * area of the whole system, likewise."""


def published(
    figure: Mapping[str, Mapping[Design, tuple[float, ...]]], array: str, network: str
) -> dict[Design, float]:
    """Return a figure's ratios for one network, by design; ternary is 1. Empty where the paper has no such network."""
    names = [_plain(name) for name in NETWORKS]
    if _plain(network) not in names:
        return {}
    index = names.index(_plain(network))
    return {design: values[index] for design, values in figure[array].items()} | {Design.TERNARY: 1.0}


def _plain(name: str) -> str:
    return name.lower().replace("-", "")


def implied_pj(ratios: Mapping[Design, float], first: Design, second: Design) -> float:
    """Return the energy a word of all of HCiM ternary that two converters' ratios imply, pJ (inferred).

    If two designs differ in nothing but the conversion: (E_1 - E_2) / (ratio_1 - ratio_2), by any pair the same.
    """
    return (CONVERTERS[first].pj - CONVERTERS[second].pj) / (ratios[first] - ratios[second])


def latency_area(design: Design, array: DcimArray) -> float:
    """Return latency * area of the read-out over that of the array: Table 3's products, one converter a crossbar."""
    one = CONVERTERS.get(design, array.column)
    return one.ns * one.mm2 / (array.column.ns * array.column.mm2)
