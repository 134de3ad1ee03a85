"""Bit-plane kernels against whole numbers: every plane, row and column summed one by one, without packing."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from golden_model.scale_array.combine import combine
from golden_model.scale_array.config import HCIM_A
from golden_model.scale_array.model import encode, scale_array
from sim import bit_planes
from sim.array import Geometry
from sim.bit_planes import Packed, Readout
from sim.bit_slices import SlicedCrossbar, SlicedLayer, SlicedTile, row_edges
from sim.encode import BitSerial


def sums_of(layer: SlicedLayer, codes: NDArray[Any], bits: int) -> NDArray[np.int64]:
    """Every column sum, (images, pixels, tiles, bits, physical columns), from loops over kernel positions."""
    g = layer.geometry
    (top, left), (down, across) = g.padding, g.stride
    padded = np.pad(codes.astype(np.int64), ((0, 0), (0, 0), (top, top), (left, left)))
    height, width = g.output_size(*codes.shape[2:])
    tile_of = np.searchsorted(layer.edges, np.arange(layer.edges[-1]), side="right") - 1
    found = np.zeros((len(codes), height * width, layer.tiles, bits, layer.physical), np.int64)
    row = 0
    for y, x in itertools.product(range(g.kernel[0]), range(g.kernel[1])):
        for channel in range(codes.shape[1]):
            for oy, ox in itertools.product(range(height), range(width)):
                code = padded[:, channel, oy * down + y * g.dilation[0], ox * across + x * g.dilation[1]]
                for j, k in itertools.product(range(bits), range(layer.tile.array.slices)):
                    weight = layer.weights[:, channel, y, x]
                    cell = np.sign(weight) * (np.abs(weight) >> k & 1)
                    physical = slice(k * layer.channels, (k + 1) * layer.channels)
                    found[:, oy * width + ox, tile_of[row], j, physical] += (code >> j & 1)[:, None] * cell
            row += 1
    return found


def tile(rows: int, bits: int = 4, weight_bits: int = 4) -> SlicedTile:
    scales = replace(HCIM_A, streams=bits)
    return SlicedTile(
        name="t", encode=BitSerial(bits=bits), array=SlicedCrossbar(rows=rows, weight_bits=weight_bits), scales=scales
    )


def case(
    seed: int, inputs: int, outputs: int, geometry: Geometry, size: tuple[int, int], chain: SlicedTile, images: int = 3
) -> tuple[SlicedLayer, NDArray[np.uint8], Readout]:
    rng = np.random.default_rng(seed)
    top = chain.array.largest
    layer = SlicedLayer(rng.integers(-top, top + 1, (outputs, inputs, *geometry.kernel)), geometry, chain)
    codes = rng.integers(0, chain.encode.largest + 1, (images, inputs, *size), dtype=np.uint8)
    shape = (layer.tiles, chain.encode.bits, layer.physical)
    weight = rng.integers(0, 16, shape) * layer.slice_weights()
    a = rng.integers(-1, 4, (layer.tiles, layer.physical)).astype(np.float32)
    b = a - rng.integers(1, 5, a.shape)
    return layer, codes, Readout(weight.astype(np.float32), a, b.astype(np.float32))


kernels = pytest.mark.whole  # seconds each, most of them numba compiling

CASES = {
    "3x3": (16, 4, Geometry(kernel=(3, 3), padding=(1, 1)), (5, 6), tile(128)),
    "stride 2": (20, 3, Geometry(kernel=(3, 3), padding=(1, 1), stride=(2, 2)), (6, 7), tile(64)),
    "33 channels in uneven kernels": (
        33,
        2,
        Geometry(kernel=(2, 3), padding=(0, 1), dilation=(2, 1)),
        (5, 4),
        tile(128),
    ),
    "linear, 300 rows": (300, 3, Geometry(), (1, 1), tile(128, 3, 3)),
    "one row": (1, 1, Geometry(), (2, 2), tile(1, 1, 2)),
    "one row a tile": (3, 2, Geometry(kernel=(1, 2)), (2, 3), tile(1, 2, 3)),
    "256 rows": (256, 2, Geometry(), (2, 1), tile(256, 2, 2)),
    "8 bits": (10, 2, Geometry(kernel=(3, 3)), (4, 4), tile(64, 8, 8)),
}


@kernels
@pytest.mark.parametrize("name", CASES)
def test_comparators_sums_are_those_of_whole_numbers(name: str) -> None:
    inputs, outputs, geometry, size, chain = CASES[name]
    layer, codes, readout = case(1, inputs, outputs, geometry, size, chain)
    sums = sums_of(layer, codes, chain.encode.bits)
    p = 1 * (sums >= readout.a[:, None]) - 1 * (sums <= readout.b[:, None])
    expected = (p * readout.weight).sum((2, 3)).reshape(len(codes), -1, chain.array.slices, outputs).sum(2)
    packed = layer.packed(*size)
    given_codes = torch.from_numpy(codes)
    found = bit_planes.forward(given_codes, packed, readout, bit_planes.ternary)
    assert np.array_equal(found.permute(0, 2, 3, 1).reshape(expected.shape).numpy(), expected)
    for t in range(layer.tiles):  # the path of other devices
        plain = layer.partial_sums(given_codes, t).permute(0, 3, 4, 1, 2).reshape(sums[:, :, t].shape)
        assert np.array_equal(plain.numpy(), sums[:, :, t])
    plus, minus = layer.census(given_codes, packed, readout)
    assert np.array_equal(plus.numpy(), (p == 1).sum((0, 1))) and np.array_equal(minus.numpy(), (p == -1).sum((0, 1)))


@kernels
@pytest.mark.parametrize("name", CASES)
def test_gradients_are_the_sums_that_they_are_defined_as(name: str) -> None:
    inputs, outputs, geometry, size, chain = CASES[name]
    layer, codes, readout = case(2, inputs, outputs, geometry, size, chain)
    rng = np.random.default_rng(3)
    sums = sums_of(layer, codes, chain.encode.bits)
    p = 1 * (sums >= readout.a[:, None]) - 1 * (sums <= readout.b[:, None])
    window = rng.uniform(0, 5, readout.weight.shape).astype(np.float32)
    part = rng.integers(0, 9, readout.weight.shape[1:]).astype(np.float32)
    packed = layer.packed(*size)
    whole = rng.integers(-8, 9, (len(codes), outputs, *packed.size)).astype(np.float32)  # sums of integers are exact
    gradient = np.tile(whole.reshape(len(codes), outputs, -1).transpose(0, 2, 1), (1, 1, chain.array.slices))
    slopes = (p * gradient[:, :, None, None]).sum((0, 1))
    shares = ((np.abs(sums) <= window) * part).sum((2, 3)).reshape(len(codes), -1, chain.array.slices, outputs).sum(2)
    found = bit_planes.backward(torch.from_numpy(codes), packed, readout, window, part, torch.from_numpy(whole))
    assert np.array_equal(found[0].numpy(), slopes)
    passed = shares * whole.reshape(len(codes), outputs, -1).transpose(0, 2, 1)
    assert np.array_equal(found[1].permute(0, 2, 3, 1).reshape(passed.shape).numpy(), passed)


@kernels
def test_a_converter_can_stand_where_the_comparator_does() -> None:
    chain = tile(40, 3, 3)
    layer, codes, _ = case(4, 12, 3, Geometry(kernel=(3, 3)), (5, 5), chain)
    gain = np.full((layer.tiles, layer.physical), 0.25, np.float32)
    offset = np.full_like(gain, 0.5)
    j = 2.0 ** np.arange(3, dtype=np.float32)[:, None]
    weight = np.broadcast_to(j * layer.slice_weights(), (layer.tiles, 3, layer.physical)).astype(np.float32)
    sums = sums_of(layer, codes, 3)
    converted = np.clip(np.floor(sums * 0.25 + 0.5), -1, 1)
    expected = (converted * weight).sum((2, 3)).reshape(len(codes), -1, chain.array.slices, 3).sum(2)
    found = bit_planes.forward(
        torch.from_numpy(codes), layer.packed(5, 5), Readout(weight, gain, offset), bit_planes.converter(-1, 1)
    )
    assert np.array_equal(found.permute(0, 2, 3, 1).reshape(expected.shape).numpy(), expected)
    assert (np.floor(sums * 0.25 + 0.5) != converted).any()  # some did saturate


@kernels
def test_an_ideal_converter_gives_the_convolution() -> None:
    chain = tile(50)
    layer, codes, _ = case(5, 16, 4, Geometry(kernel=(3, 3), padding=(1, 1)), (6, 6), chain)
    shape = (layer.tiles, 4, layer.physical)
    weight = np.broadcast_to(2.0 ** np.arange(4)[:, None] * layer.slice_weights(), shape).astype(np.float32)
    one = np.ones((layer.tiles, layer.physical), np.float32)
    found = bit_planes.forward(
        torch.from_numpy(codes), layer.packed(6, 6), Readout(weight, one, 0 * one), bit_planes.converter(-256, 256)
    )
    exact = torch.nn.functional.conv2d(
        torch.from_numpy(codes).double(), torch.from_numpy(layer.weights).double(), padding=1
    )
    assert torch.equal(found.double(), exact)


@kernels
def test_the_arrays_of_the_golden_model_make_the_same_totals() -> None:
    chain = tile(64)
    layer, codes, readout = case(6, 16, 8, Geometry(kernel=(3, 3), padding=(1, 1)), (4, 4), chain)
    scales = (readout.weight / layer.slice_weights()).astype(np.int64)
    given_codes, made = torch.from_numpy(codes), []
    for t in range(layer.tiles):
        p = layer.read(given_codes, readout, t).permute(0, 3, 4, 1, 2).numpy().astype(np.int64)
        made.append(scale_array(replace(chain.scales, columns=24), scales[t], encode(p)).values)
    by_slice = np.stack(made, -2).reshape(*made[0].shape[:3], layer.tiles, chain.array.slices, 8)
    total = bit_planes.forward(given_codes, layer.packed(4, 4), readout, bit_planes.ternary)
    assert np.array_equal(combine(by_slice), total.permute(0, 2, 3, 1).numpy())


@kernels
@pytest.mark.parametrize("images", [1, 2, 15, 16, 17, 40])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_batches_and_threads_change_no_bit(images: int, threads: int) -> None:
    chain = tile(128)
    layer, codes, readout = case(7, 16, 4, Geometry(kernel=(3, 3), padding=(1, 1)), (6, 5), chain, images=40)
    packed, before = layer.packed(6, 5), torch.get_num_threads()
    gradient = torch.from_numpy(np.random.default_rng(0).normal(size=(40, 4, 6, 5)).astype(np.float32))
    window, part = np.full(readout.weight.shape, 2, np.float32), np.ones(readout.weight.shape[1:], np.float32)
    whole = bit_planes.forward(torch.from_numpy(codes), packed, readout, bit_planes.ternary)
    try:
        torch.set_num_threads(threads)
        some = bit_planes.forward(torch.from_numpy(codes[:images]), packed, readout, bit_planes.ternary)
        many = bit_planes.backward(torch.from_numpy(codes), packed, readout, window, part, gradient)
        torch.set_num_threads(1)
        one = bit_planes.backward(torch.from_numpy(codes), packed, readout, window, part, gradient)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(some, whole[:images])
    assert torch.equal(many[0], one[0]) and torch.equal(many[1], one[1])


@settings(deadline=None, max_examples=200)
@given(st.integers(1, 80), st.integers(1, 12), st.integers(1, 256))
def test_row_tiles_cover_every_row_once_in_the_fewest_arrays(channels: int, positions: int, rows: int) -> None:
    edges = row_edges(channels, positions, rows)
    sizes = np.diff(edges)
    assert edges[0] == 0 and edges[-1] == channels * positions
    assert sizes.min() >= 1 and sizes.max() <= rows
    assert len(sizes) == -(-channels * positions // rows)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_moves_bring_every_row_to_its_own_bit(data: st.DataObject) -> None:
    channels, positions = data.draw(st.integers(1, 70)), data.draw(st.integers(1, 9))
    edges = row_edges(channels, positions, data.draw(st.integers(1, 256)))
    table, starts = bit_planes.moves([(n, 0, 0, channels) for n in range(positions)], edges)
    seen: dict[tuple[int, int], tuple[int, int]] = {}
    for y, _, source, right, mask, left, target in table.tolist():
        for bit in range(mask.bit_length()):
            place = (target, left + bit)
            assert place not in seen and left + bit < 32
            seen[place] = (y, 32 * source + right + bit)
    for row, (position, channel) in enumerate(itertools.product(range(positions), range(channels))):
        of = next(t for t in range(len(edges) - 1) if row < edges[t + 1])
        inside = row - edges[of]
        assert seen.pop((int(starts[of]) + inside // 32, inside % 32)) == (position, channel)
    assert not seen


def test_packed_is_what_the_kernels_take() -> None:
    layer, _, _ = case(8, 40, 2, Geometry(), (1, 1), tile(32))
    packed = layer.packed(1, 1)
    assert isinstance(packed, Packed) and packed.positive.shape == (2, layer.physical)
    assert not (packed.positive & packed.negative).any()
    cells = layer.rows()
    assert int(sum(int(word).bit_count() for word in packed.positive.ravel())) == int((cells > 0).sum())
    assert int(sum(int(word).bit_count() for word in packed.negative.ravel())) == int((cells < 0).sum())
