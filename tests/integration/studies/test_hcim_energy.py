"""HCiM's energy against numbers computed by hand or by exact fractions, and what is shown of it."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from golden_model.errors import UserError
from golden_model.scale_array.config import HCIM_A, HCIM_B, HCIM_WIDE
from golden_model.scale_array.model import Activity, activity
from integration.studies import hcim_figures as figures
from integration.studies.hcim_energy import (
    Energy,
    LayerWork,
    NetworkWork,
    break_even_pj,
    compare,
    fitted_pj,
    image_energy,
    layer_energy,
    registers_pj,
)
from integration.studies.hcim_figures import ARRAY_A, ARRAY_B, Design
from integration.studies.hcim_report import contradictions, document, show

RESNET20 = (
    *((f"layer1.{block}.conv{half}", 1024, 2, 16, 144) for block in range(3) for half in (1, 2)),
    ("layer2.0.conv1", 256, 2, 32, 144),
    *((f"layer2.{block}.conv{half}", 256, 3, 32, 288) for block, half in ((0, 2), (1, 1), (1, 2), (2, 1), (2, 2))),
    ("layer3.0.conv1", 64, 3, 64, 288),
    *((f"layer3.{block}.conv{half}", 64, 5, 64, 576) for block, half in ((0, 2), (1, 1), (1, 2), (2, 1), (2, 2))),
)
"""Convolutions of ResNet-20 on 32 x 32 images, stem and classifier left out: pixels, row tiles, channels, rows."""


def layer(
    zeros: float, name: str = "conv", vectors: int = 10, tiles: int = 2, channels: int = 16, rows: int = 144
) -> LayerWork:
    """Three slices, four streams, the zeros spread evenly over the streams."""
    sums = vectors * tiles * channels * 3
    words = 4 * sums
    skipped = round(words * zeros)
    computes = words - skipped
    last = computes // 4
    work = Activity(operations=words, reads=computes + sums - last, computes=computes, stores=computes - last)
    plus = computes // 3
    return LayerWork(
        name=name,
        vectors=vectors,
        tiles=tiles,
        channels=channels,
        slices=3,
        rows=rows,
        activity=work,
        zeros=skipped,
        plus=plus,
        minus=computes - plus,
    )


def network(*layers: LayerWork, name: str = "mine", images: int = 1, **options: Any) -> NetworkWork:
    return NetworkWork(network=name, images=images, layers=layers, **options)


def resnet20(zeros: float, images: int = 2) -> NetworkWork:
    layers = (layer(zeros, name, images * pixels, *shape) for name, pixels, *shape in RESNET20)
    return network(*layers, name="resnet20", images=images)


def test_a_layer_by_hand() -> None:
    """10 vectors, 2 tiles, 16 channels, 3 slices: 960 sums, 3,840 words; 60 % zeros cost 19 pJ / 128 a word."""
    work = network(layer(0.6))
    assert image_energy(work, Design.SAR7).total_pj == pytest.approx(3840 * 4.1 + 3840 * 0.05)
    assert image_energy(work, Design.SAR6).total_pj == pytest.approx(2457.6)
    assert image_energy(work, Design.FLASH4).total_pj == pytest.approx(7334.4)
    ternary, binary = image_energy(work, Design.TERNARY), image_energy(work, Design.BINARY)
    assert (ternary.array_pj, ternary.shift_add_pj) == (pytest.approx(570), pytest.approx(48))
    assert (binary.array_pj, binary.shift_add_pj) == (pytest.approx(840), pytest.approx(48))
    assert (ternary.comparison_pj, binary.comparison_pj) == (pytest.approx(514.56), pytest.approx(257.28))
    rows = {row.design: row for row in compare(work)}
    assert rows[Design.SAR7].without_comparators == pytest.approx(15936 / 618)
    assert rows[Design.SAR7].with_comparators == pytest.approx(15936 / 1132.56)
    assert rows[Design.BINARY].without_comparators == pytest.approx(888 / 618)
    assert rows[Design.BINARY].with_comparators == pytest.approx(1145.28 / 1132.56)
    assert rows[Design.TERNARY].with_comparators == rows[Design.TERNARY].without_comparators == 1


def test_layers_add_and_images_divide() -> None:
    one, other = layer(0.6), layer(0.9, vectors=5)
    both = image_energy(network(one, other, images=4), Design.TERNARY)
    assert both.array_pj == pytest.approx((570 + 5 * 2 * 16 * 3 * 4 * 9.2 / 128) / 4)
    alone = [layer_energy(part, ARRAY_A, Design.TERNARY) for part in (one, other)]
    assert both.total_pj == pytest.approx(sum(part.total_pj for part in alone) / 4)


def test_resnet20_has_the_conversions_that_its_shapes_say() -> None:
    """5.4 M comparator results an image with three slices."""
    work = resnet20(0.64)
    assert sum(part.activity.operations for part in work.layers) == 2 * 5_406_720
    rows = {row.design: row for row in compare(work)}
    assert rows[Design.SAR7].energy.conversion_pj == pytest.approx(5_406_720 * 4.1)
    word = (19.0 + 0.4 * (16.6 - 19.0)) / 128
    assert rows[Design.TERNARY].energy.array_pj == pytest.approx(5_406_720 * word)
    assert (rows[Design.SAR7].paper, rows[Design.FLASH4].paper, rows[Design.BINARY].paper) == (15.3, 7.39, 1.16)
    assert rows[Design.SAR6].paper_latency_area == 3.93
    assert break_even_pj(work) == pytest.approx(28 / 128 - word)
    level = compare(work, comparator_pj=break_even_pj(work))
    assert level[3].with_comparators == pytest.approx(1)


@pytest.mark.parametrize(
    ("zeros", "pj"),
    [(0, 28), (0.25, 24.7), (0.5, 21.4), (0.55, 20.2), (0.8, 13.1), (0.9, 9.2), (0.95, 7.25), (1, 5.3)],
)
def test_energy_of_a_stream_over_zeros(zeros: float, pj: float) -> None:
    assert ARRAY_A.word_pj(zeros) * 128 == pytest.approx(pj)


def test_array_b() -> None:
    assert [round(ARRAY_B.word_pj(zeros) * 64, 9) for zeros in (0, 0.5, 0.65, 1)] == [14, 10.6, 8.8, 2.7]
    with pytest.raises(UserError, match="144 rows; 2 tiles hold 64 each"):
        network(layer(0.6), config=HCIM_B)
    rows = compare(network(layer(0.6, tiles=3), name="WRN-20", config=HCIM_B))
    assert [row.paper for row in rows] == [None, 2.52, 5.84, 1.12, 1.0]
    assert rows[3].paper_latency_area is None
    assert rows[3].without_comparators == pytest.approx((4 * 14 / 64 + 0.05) / (4 * 9.4 / 64 + 0.05))


def test_zeros_that_have_points_near() -> None:
    fractions = (0, 0.2, 0.5, 0.7, 0.9, 0.91, 1)
    assert [figures.read_off(zeros) for zeros in fractions] == [True, False, True, True, True, False, False]


@pytest.mark.parametrize("array", [ARRAY_A, ARRAY_B])
def test_fit_is_the_least_squares_line(array: figures.DcimArray) -> None:
    """By the normal equations in exact fractions."""
    x = [1 - Fraction(str(zeros)) for zeros in figures.ZEROS]
    y = [Fraction(str(pj)) / array.config.columns for pj in array.stream_pj]
    n, sx, sy = len(x), sum(x), sum(y)
    slope = (n * sum(a * b for a, b in zip(x, y, strict=True)) - sx * sy) / (n * sum(a * a for a in x) - sx * sx)
    level = (sy - slope * sx) / n
    residual = max(abs(level + slope * a - b) for a, b in zip(x, y, strict=True))
    assert array.fit.fixed_pj == pytest.approx(float(level))
    assert array.fit.compute_pj == pytest.approx(float(slope))
    assert array.fit.residual_pj == pytest.approx(float(residual))


def test_fit_by_hand() -> None:
    """9.595 pJ a stream always, 19.892 more where all words compute; 2.38 off at 90 % zeros."""
    fit = ARRAY_A.fit
    assert [round(128 * value, 3) for value in (fit.fixed_pj, fit.compute_pj, fit.residual_pj)] == [
        9.595,
        19.892,
        2.384,
    ]
    work = layer(0.6).activity
    assert fitted_pj(work, ARRAY_A) == pytest.approx((3840 * 9.59508 + 1536 * 19.89180) / 128, rel=1e-6)


def test_registers_price_every_counter() -> None:
    assert registers_pj(Activity(operations=9, reads=5, computes=3, stores=2)) == pytest.approx(7 * 0.16 + 3 * 0.05)


def test_counters_of_real_codes_are_taken() -> None:
    """p of 5 vectors on one tile, 128 columns of 16 channels and 8 slices, through the golden model's counters."""
    p = np.random.default_rng(3).choice([-1, 0, 0, 1], size=(5, 4, 128))
    counts = {"zeros": int((p == 0).sum()), "plus": int((p > 0).sum()), "minus": int((p < 0).sum())}
    shape = {"vectors": 5, "tiles": 1, "channels": 16, "slices": 8, "rows": 128}
    one = LayerWork(name="conv", **shape, activity=activity(HCIM_A, p), **counts)
    energy = image_energy(network(one), Design.TERNARY)
    assert energy.array_pj == pytest.approx(5 * 4 * 128 * ARRAY_A.word_pj(counts["zeros"] / p.size))


def test_all_zeros_and_none() -> None:
    none, every = network(layer(0.0)), network(layer(1.0))
    ungated, binary = image_energy(none, Design.TERNARY), image_energy(none, Design.BINARY)
    assert (ungated.array_pj, ungated.shift_add_pj) == (binary.array_pj, binary.shift_add_pj)
    assert break_even_pj(none) == 0
    assert image_energy(every, Design.TERNARY).array_pj == pytest.approx(3840 * 5.3 / 128)
    assert image_energy(every, Design.BINARY) == binary


def test_no_work() -> None:
    idle = network(layer(0.0, vectors=0))
    assert image_energy(idle, Design.TERNARY) == Energy()
    assert break_even_pj(idle) == 0
    with pytest.raises(UserError, match=r"^mine: no word passed its arrays; run at least one image$"):
        compare(idle)
    mixed = compare(network(layer(0.0, vectors=0), layer(0.6)))
    assert mixed[0].without_comparators == pytest.approx(15936 / 618)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"zeros": -1}, "conv: zeros = -1; a count is 0 or more"),
        ({"vectors": -1}, "conv: vectors = -1; a count is 0 or more"),
        ({"slices": 0}, "conv: slices = 0; a layer has at least 1"),
        ({"rows": 0}, "conv: rows = 0; a layer has at least 1"),
        ({"zeros": 2303}, "conv: 2303 zeros, 512 plus and 1024 minus are not the 3840 words of its counters"),
        ({"zeros": 2304, "plus": 512, "activity": {"computes": 1535}}, "1535 computed words, 1536 with p = \\+1 or -1"),
        ({"activity": {"reads": 4000}}, "4000 reads, 1536 computes, 1152 stores; none can exceed the one before"),
        ({"activity": {"stores": -1}}, "stores = -1; a count is 0 or more"),
    ],
)
def test_contradicting_counts_are_refused(change: dict[str, Any], message: str) -> None:
    good = layer(0.6)
    if "activity" in change:
        change = change | {"activity": replace(good.activity, **change["activity"])}
    with pytest.raises(UserError, match=message) as raised:
        replace(good, **change)
    assert "\n" not in str(raised.value)


def test_wrong_networks_are_refused() -> None:
    good = layer(0.6)
    with pytest.raises(UserError, match="images = 0; energy an image needs at least 1"):
        network(good, images=0)
    with pytest.raises(UserError, match="no layers; give the work of at least one"):
        network()
    with pytest.raises(UserError, match=r"3840 words, but 11 vectors, 2 tiles, .* and 4 streams make 4224"):
        network(replace(good, vectors=11))
    with pytest.raises(UserError, match="128 columns, scales of 8 and sums of 16 bits: energies are published for"):
        network(good, config=HCIM_WIDE)
    for wrong in (-0.1, float("nan"), float("inf")):
        with pytest.raises(UserError, match=f"comparator_pj = {wrong}: an energy of 0 pJ or more"):
            compare(network(good), comparator_pj=wrong)
    for wrong in (-0.01, 1.01, float("nan")):
        with pytest.raises(UserError, match="the fraction of p = 0 is 0 to 1"):
            ARRAY_A.word_pj(wrong)


def test_latency_area_are_products_of_table_3() -> None:
    """1.52 * 0.004 / (0.06 * 0.009) and so on."""
    assert [round(figures.latency_area(d, ARRAY_A), 3) for d in Design] == [11.259, 7.5, 0.278, 1.0, 1.0]
    assert figures.latency_area(Design.SAR6, ARRAY_B) == pytest.approx(8.1)


def test_contradictions_by_hand() -> None:
    """(4.1 - 0.59) / (28.81 - 5.14) = 0.148 and (1.86 - 0.59) / (11.95 - 5.14) = 0.186 pJ a word."""
    text = {one.says: one.but for one in contradictions()}
    vgg = next(but for says, but in text.items() if "0.148 pJ" in says)
    assert "0.186" in vgg and "0.188" in vgg and "0.22" in vgg
    found = " ".join(text.values())
    for piece in (
        "1.86 / 0.22 = 8.5",
        "0.125 ns",
        "28.81 (7 bit) and 11.95 (4 bit)",
        "11 to 21 % less, 14 %",
        "67 % less",
    ):
        assert piece in found
    assert len(text) == 8


@pytest.mark.parametrize("work", [resnet20(0.64), network(layer(0.97, tiles=3), config=HCIM_B)], ids=["A", "B"])
def test_shown_within_80_columns(work: NetworkWork) -> None:
    out = io.StringIO()
    show(work, Console(file=out, width=80))
    text = out.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    for piece in ("paper", "ours", "inferred", "28 % and 12 %", "no energy was readable", "SAR ADC, 7 bit"):
        assert piece in " ".join(text.split())
    assert ("97.0*" in text) == (work.config is HCIM_B)
    assert ("15.30" in text) == (work.config is HCIM_A)


def test_document_is_json() -> None:
    made = json.loads(json.dumps(document(resnet20(0.64)), allow_nan=False))
    assert [row["design"] for row in made["comparison"]] == [design.value for design in Design]
    assert made["comparison"][0]["paper"] == 15.3
    assert made["paper"]["energy"]["HCiM binary"] == [1.16, 1.19, 1.27, 1.26, 1.16, 1.16]
    assert made["paper"]["column"]["DCiM B"] == {"ns": 0.1, "pj": 0.22, "mm2": 0.005}
    assert len(made["layers"]) == 18 and made["layers"][0]["activity"]["operations"] == 2 * 1024 * 2 * 16 * 12
    assert made["layers"][0]["read_off"] is True
    assert all(figure["source"] for figure in made["assumed"]) and len(made["contradictions"]) == 8


def test_networks_outside_the_paper_have_no_paper_figures() -> None:
    assert [row.paper for row in compare(network(layer(0.6)))] == [None] * 5
    assert figures.published(figures.ENERGY, "A", "vgg9")[Design.SAR7] == 28.81


def test_the_page_has_the_figures_of_the_source() -> None:
    page = (Path(__file__).parents[3] / "docs" / "hcim_energy.md").read_text(encoding="utf-8")
    for one in figures.CONVERTERS.values():
        assert f"| {one.pj:g} | {one.ns:g} | {one.mm2:g} | paper | Table 3 |" in page
    for array in (ARRAY_A, ARRAY_B):
        assert f"| {', '.join(f'{pj:g}' for pj in array.stream_pj)} |" in page
    for figure in (figures.COMPARATOR, figures.SHIFT_ADD, figures.REGISTERS):
        assert f"| {figure.pj:g} | | | ours |" in page
    section = page.split("## Where the paper contradicts itself")[1].split("##")[0]
    assert section.count("\n| ") == 1 + len(contradictions())
    shown = " ".join(one.says + " " + one.but for one in contradictions())
    assert {number for number in re.findall(r"\d+\.\d+", section)} <= set(re.findall(r"\d+\.\d+", shown)) | {
        "2403.13577"
    }
