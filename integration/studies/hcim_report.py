"""HCiM's energy on paper: our estimate beside the paper's comparison, and where the paper contradicts itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from golden_model.scale_array.config import HCIM_A
from integration.studies import hcim_figures as figures
from integration.studies.hcim_energy import (
    LayerWork,
    NetworkWork,
    Row,
    break_even_pj,
    compare,
    fitted_pj,
    registers_pj,
)
from integration.studies.hcim_figures import ARRAY_A, ARRAY_B, CONVERTERS, ENERGY, LATENCY_AREA, Design

SCOPE = (
    "Ours: the read-out part only (converters and shift-add; or comparators, array and shift-add). Of crossbar, "
    "drivers, buffers and network no energy was readable. Paper: the whole system, so the ratios differ in kind."
)
ASSUMED = (figures.COMPARATOR, figures.SHIFT_ADD, figures.REGISTERS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contradiction:
    """Two statements of the paper that cannot both hold."""

    says: str
    but: str


def contradictions() -> tuple[Contradiction, ...]:
    """Return the paper's contradictions with itself; numbers that follow from its figures are computed from them."""
    flash, a, energy = CONVERTERS[Design.FLASH4], ARRAY_A.column, ENERGY["A"]
    slots_ns = HCIM_A.slots / HCIM_A.columns
    vgg = figures.published(ENERGY, "A", "VGG9")
    sars = figures.implied_pj(vgg, Design.SAR7, Design.SAR6)
    mixed = figures.implied_pj(vgg, Design.FLASH4, Design.SAR6)
    six = figures.published(LATENCY_AREA, "A", "ResNet-20")
    products = {design: figures.latency_area(design, ARRAY_A) for design in Design}
    binary = [ratio for name in ENERGY for ratio in ENERGY[name][Design.BINARY]]
    saved = [100 * (1 - 1 / ratio) for ratio in (min(binary), max(binary), energy[Design.BINARY][0])]
    last = 100 * (1 - ARRAY_A.stream_pj[-1] / ARRAY_A.stream_pj[0])
    pairs = (
        (
            "Published abstract: energy reduced by up to 28 % and 12 %",
            f"Fig. 6a: by factors, {max(energy[Design.SAR7])} (7 bit) and {max(energy[Design.FLASH4])} (4 bit), both "
            f"of VGG9; ResNet-20 has {energy[Design.SAR7][0]} and {energy[Design.FLASH4][0]}",
        ),
        (
            "Text: the array takes 12 times less energy than a 4-bit ADC",
            f"Table 3: {flash.pj} / {a.pj} = {flash.pj / a.pj:.1f}; 12 is VGG9's whole system",
        ),
        (
            f"Table 3: {a.ns} ns a column for A, {ARRAY_B.column.ns} for B",
            f"{HCIM_A.slots} slots (inferred) at 500 MHz are {2 * slots_ns:g} ns a column for A, {4 * slots_ns:g} for "
            f"B; at 1 GHz, if the scaling to 32 nm doubles the clock (inferred), {slots_ns:g} and {2 * slots_ns:g}",
        ),
        (
            "Text: ternary takes at least 15 % less energy than binary",
            f"Figs. 6 and 7: {saved[0]:.0f} to {saved[1]:.0f} % less, {saved[2]:.0f} % for ResNet-20 on A",
        ),
        (
            "Text: p = 0 gates its own columns; the array takes 24 % less energy at 50 % zeros",
            f"Fig. 5a: {last:.0f} % less at 90 %, so zeros beyond 50 % save more than those before; a fixed part and "
            "one for every computed word do not explain it",
        ),
        (
            f"Fig. 6a, VGG9, 7 against 6 bit, with Table 3: all of HCiM ternary takes {sars:.3f} pJ a word (inferred)",
            f"4 against 6 bit: {mixed:.3f}. Binary at {vgg[Design.BINARY]} times the first is "
            f"{vgg[Design.BINARY] * sars:.3f}, less than Table 3's {a.pj} for its array alone",
        ),
        (
            f"Fig. 6, ResNet-20: latency * area of 6 bit {six[Design.SAR6]}, of 4 bit {six[Design.FLASH4]}",
            f"Table 3's products: {products[Design.SAR6]:.1f} and {products[Design.FLASH4]:.2f}; 7 bit agrees, "
            f"{products[Design.SAR7]:.1f} beside {six[Design.SAR7]}. What else is in the figure was not readable",
        ),
        (
            "Text: accuracy within 1.5 % of the baseline",
            "Table 2: of the 4-bit ADC's; against 7 bit ResNet-20 loses 3.5 points, ResNet-18 on ImageNet 4.3",
        ),
    )
    return tuple(Contradiction(says=says, but=but) for says, but in pairs)


def document(work: NetworkWork) -> dict[str, Any]:
    """Return everything that is shown, as JSON takes it; energies in pJ, an image where nothing else is said."""
    array, images = work.array, work.images
    rows = [asdict(row) | {"design": row.design.value} for row in compare(work)]
    published = {"energy": ENERGY[array.name], "latency_area": LATENCY_AREA[array.name]}
    return {
        "network": work.network,
        "images": images,
        "array": {"name": array.name, "word_pj_at_zeros": dict(zip(figures.ZEROS, _words(array), strict=True))}
        | {"fit_ours": asdict(array.fit)},
        "scope": SCOPE,
        "paper": {
            "source": figures.PAPER,
            "networks": figures.NETWORKS,
            "column": {one.value: asdict(column) for one, column in CONVERTERS.items()}
            | {f"DCiM {one.name}": asdict(one.column) for one in (ARRAY_A, ARRAY_B)},
        }
        | {name: {design.value: ratios for design, ratios in table.items()} for name, table in published.items()},
        "assumed": [asdict(figure) for figure in ASSUMED],
        "comparison": rows,
        "break_even_comparison_pj": break_even_pj(work),
        "layers": [
            asdict(layer)
            | {"array_pj": _points(layer, work) / images, "read_off": figures.read_off(layer.zero_fraction)}
            | {"fitted_pj": fitted_pj(layer.activity, array) / images}
            | {"registers_pj": registers_pj(layer.activity) / images}
            for layer in work.layers
        ],
        "contradictions": [asdict(one) for one in contradictions()],
    }


def show(work: NetworkWork, console: Console) -> None:
    """Print figures with their sources, layers, both comparisons and the contradictions, within 80 columns."""
    rows = compare(work)
    console.print(f"\n{work.network}, images: {work.images}, HCiM array {work.array.name}. {SCOPE}", highlight=False)
    _figures(work, console)
    _layers(work, console)
    energies = {
        "ours,\nno com-\nparator": [row.without_comparators for row in rows],
        "ours,\nwith\nthem": [row.with_comparators for row in rows],
    }
    console.print("\nEnergy over HCiM ternary. Paper: Fig. 6a or 7, whole system; ours: read-out part of this work.")
    console.print(_beside(ENERGY[work.array.name], rows, energies))
    console.print("\nLatency * area over HCiM ternary. Paper: Fig. 6 or 7, whole system; ours: Table 3's products.")
    console.print(_beside(LATENCY_AREA[work.array.name], rows, {"\n\nours": [row.latency_area for row in rows]}))
    _parts(work, rows, console)
    table = _table(("paper", "but"))
    for one in contradictions():
        table.add_row(one.says, one.but)
        table.add_row("", "")
    console.print("\nWhere the paper contradicts itself, or its figures do not follow from each other:")
    console.print(table)


def _table(heads: Sequence[str], *, numbers: int = 0) -> Table:
    """Return a table whose last `numbers` columns are numbers."""
    table = Table(box=None, pad_edge=False, header_style="")
    for index, head in enumerate(heads):
        right = index >= len(heads) - numbers
        table.add_column(head, justify="right" if right else "left", no_wrap=right)
    return table


def _words(array: figures.DcimArray) -> list[float]:
    return [array.word_pj(zeros) for zeros in figures.ZEROS]


def _points(layer: LayerWork, work: NetworkWork) -> float:
    return layer.activity.operations * work.array.word_pj(layer.zero_fraction)


def _figures(work: NetworkWork, console: Console) -> None:
    """Print what one operation costs."""
    table, array = _table(("one operation", "pJ", "ns", "mm2", "mark", "source")), work.array
    for name, one in [(d.value, c) for d, c in CONVERTERS.items()] + [(f"DCiM {array.name}", array.column)]:
        table.add_row(f"{name}, a column", f"{one.pj:g}", f"{one.ns:g}", f"{one.mm2:g}", "paper", "Table 3")
    for zeros, word in zip(figures.ZEROS, _words(array), strict=True):
        source = f"Fig. 5a / {array.config.columns}, read off" + ("; tick inferred" if zeros > figures.ZEROS[1] else "")
        table.add_row(f"a word at {zeros:.0%} zeros", f"{word:.3f}", "", "", "paper", source)
    for figure in ASSUMED:
        table.add_row(figure.what, f"{figure.pj:g}", "", "", "ours", figure.source)
    console.print(table, highlight=False)
    fit = array.fit
    console.print(
        f"Fitted to Fig. 5a (ours): {fit.fixed_pj:.3f} pJ a word and {fit.compute_pj:.3f} more where p is not 0, off "
        f"by up to {fit.residual_pj:.3f}. Areas: one converter, one whole array (inferred). No comparator's energy was "
        "readable in the paper.",
        highlight=False,
    )


def _layers(work: NetworkWork, console: Console) -> None:
    """Print the work of each layer and three estimates of its array's energy."""
    heads = ("layer", "words", "zeros\n%", "reads\n%", "stores\n%", "points\nnJ", "fit\nnJ", "registers\nnJ")
    table, sums = _table(heads, numbers=7), [0.0] * 4
    for layer in work.layers:
        did, every = layer.activity, max(layer.activity.operations, 1)
        energies = (_points(layer, work), fitted_pj(did, work.array), registers_pj(did))
        values = [value / work.images for value in (did.operations, *energies)]
        sums = [one + other for one, other in zip(sums, values, strict=True)]
        mark = "" if figures.read_off(layer.zero_fraction) else "*"
        shares = (
            f"{100 * layer.zero_fraction:.1f}{mark}",
            *(f"{100 * n / every:.1f}" for n in (did.reads, did.stores)),
        )
        table.add_row(layer.name, f"{values[0]:,.0f}", *shares, *(f"{pj / 1e3:,.1f}" for pj in values[1:]))
    table.add_row("network", f"{sums[0]:,.0f}", "", "", "", *(f"{pj / 1e3:,.1f}" for pj in sums[1:]))
    console.print("\nThe ternary array, one image (ours):")
    console.print(table)
    console.print(
        "points: Fig. 5a between its points (*: where it has none near, inferred). fit: operations and computes alone. "
        "registers (inferred): reads, computes and stores in a register file.",
        highlight=False,
    )


def _beside(
    published: Mapping[Design, Sequence[float]], rows: Sequence[Row], ours: Mapping[str, Sequence[float]]
) -> Table:
    """Return the paper's ratios of every network and ours, a column a head."""
    heads = ("", *(name.replace("-", "-\n") + "\npaper" for name in figures.NETWORKS))
    table = _table((*heads, *ours), numbers=len(figures.NETWORKS) + len(ours))
    for row, *ratios in zip(rows, *ours.values(), strict=True):
        theirs = published.get(row.design, (1.0,) * len(figures.NETWORKS) if row.design is Design.TERNARY else ())
        cells = [f"{value:.2f}" for value in theirs] or ["-"] * len(figures.NETWORKS)
        table.add_row(row.design.value, *cells, *(f"{ratio:.2f}" for ratio in ratios))
    return table


def _parts(work: NetworkWork, rows: Sequence[Row], console: Console) -> None:
    """Print where ours goes, and what the comparators change."""
    heads = ("ours, nJ an image", "conver-\nsions", "compar-\nisons", "array", "shift-\nadd", "sum")
    table = _table(heads, numbers=5)
    for row in rows:
        one = row.energy
        parts = (one.conversion_pj, one.comparison_pj, one.array_pj, one.shift_add_pj, one.total_pj)
        table.add_row(row.design.value, *(f"{pj / 1e3:,.1f}" for pj in parts))
    console.print("\nWhere ours goes, comparators as assumed:")
    console.print(table)
    console.print(
        f"Ternary's second comparator costs what its zeros save at {break_even_pj(work):.3f} pJ a comparison; above, "
        f"binary takes less (ours). Assumed: {figures.COMPARATOR.pj} pJ, worst case.",
        highlight=False,
    )
