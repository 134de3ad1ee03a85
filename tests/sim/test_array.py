"""Row tiles cover a layer once, and their currents are exact sums."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from golden_model.errors import UserError
from golden_model.nmpu_config import Input
from sim.array import GRID, Crossbar, Geometry, RowTile, Tiles, split_rows
from sim.wires import IdealWires


@given(
    inputs=st.integers(1, 600), height=st.integers(1, 5), width=st.integers(1, 5), rows=st.sampled_from([16, 64, 256])
)
def test_tiles_cover_every_row_once_and_are_fewest(inputs: int, height: int, width: int, rows: int) -> None:
    tiles = split_rows(inputs, Geometry(kernel=(height, width)), rows)
    if tiles is None:
        return  # unfolded by the caller: single rows can be cut anywhere, tested below
    assert len(tiles) == -(-inputs * height * width // rows)
    covered = np.zeros((1, inputs, height, width))
    for tile in tiles:
        part = tile.of(covered)
        assert 0 < part.size <= rows
        part += 1
    assert (covered == 1).all()


@given(inputs=st.integers(1, 5000), rows=st.integers(1, 256))
def test_single_rows_can_always_be_cut(inputs: int, rows: int) -> None:
    tiles = split_rows(inputs, Geometry(), rows)
    assert tiles is not None and len(tiles) == -(-inputs // rows)


def test_the_papers_layers() -> None:
    """28 channels take one tile of 252 rows, 56 two of 252, the ResNet-32 stages 1, 2, 3."""
    three = Geometry(kernel=(3, 3))
    for channels, sizes in ((28, [252]), (56, [252, 252]), (16, [144]), (32, [144, 144]), (64, [192, 192, 192])):
        tiles = split_rows(channels, three, 256)
        assert tiles is not None
        assert [tile.of(np.zeros((1, channels, 3, 3))).size for tile in tiles] == sizes


@settings(deadline=None, max_examples=60)
@given(
    inputs=st.sampled_from([3, 32, 64, 85, 113, 29]),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 2), st.integers(1, 3)),
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    signed=st.booleans(),
    output=st.sampled_from(Input),
    integers=st.booleans(),
    seed=st.integers(0, 99),
)
def test_currents_are_exact(
    inputs: int, kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int],
    dilation: tuple[int, int], signed: bool, output: Input, integers: bool, seed: int,
) -> None:  # fmt: skip
    """The tiles' currents sum to the float64 convolution of the same integers, positive and negative lines apart."""
    generator = np.random.default_rng(seed)
    geometry = Geometry(kernel=kernel, stride=stride, padding=padding, dilation=dilation)
    positive, negative = generator.integers(0, GRID + 1, (2, 5, inputs, *kernel)).astype(np.float64)
    x = torch.from_numpy(generator.integers(-127 if signed else 0, 128, (2, inputs, 9, 10)).astype(np.float32))
    rows = split_rows(inputs, geometry, 256)
    unfold = rows is None
    shaped = [w.reshape(5, -1, 1, 1) if unfold else w for w in (positive, negative)]
    rows = split_rows(shaped[0].shape[1], Geometry(), 256) if rows is None else rows
    assert rows is not None
    tiles = Tiles(geometry=geometry, rows=rows, unfold=unfold, signed=signed, output=output, integers=integers)
    for row in rows:
        p, n = (row.of(w) for w in shaped)
        if output is Input.CODE:
            lines = p - n
        elif signed:
            lines = np.concatenate([np.concatenate([p, n], 1), np.concatenate([n, p], 1)])
        else:
            lines = np.concatenate([p, n])
        tiles.weights.append(torch.from_numpy(lines.astype(np.float32)))
    currents, none = tiles.currents(x.contiguous(memory_format=torch.channels_last), noise=False)
    total = torch.stack(currents).double().sum(0)

    def convolve(v: torch.Tensor, w: np.ndarray) -> torch.Tensor:
        y = F.conv2d(v.double(), torch.from_numpy(w), None, stride, padding, dilation)
        return y.permute(0, 2, 3, 1).reshape(-1, 5)

    plus, minus = x.clip(0, None), (-x).clip(0, None)
    if output is Input.CODE:
        expected = convolve(x, positive) - convolve(x, negative)
    else:
        expected = torch.cat(
            [
                convolve(plus, positive) + convolve(minus, negative),
                convolve(plus, negative) + convolve(minus, positive),
            ],
            1,
        )
    assert torch.equal(total, expected) and none == []
    assert max(float(c.abs().max()) for c in currents) < 1 << 24


def test_program_scales_each_column_to_the_largest_conductance() -> None:
    crossbar = Crossbar(programming_noise=False, read_noise=False)
    weights = np.array([[0.5, -0.25], [0.0, 0.0], [-2.0, 1.0]])
    codes, variances, step = crossbar.program(weights, IdealWires(), np.random.default_rng(0))
    assert (variances == 0).all() and (step[[0, 2]] > 0).all() and step[1] == 0
    assert codes[0].tolist() == [[409, 0], [0, 0], [0, 204]]  # 511 / 1.25 = 408.8 steps take the largest weight
    assert codes[1].tolist() == [[0, 204], [0, 0], [409, 0]]
    assert np.abs((codes[0] - codes[1]) * step[:, None] - weights).max() <= (step / 2).max()


def test_grid_clips_at_both_ends() -> None:
    codes, _, _ = Crossbar(headroom=1.0).program(np.ones((50, 50)), IdealWires(), np.random.default_rng(0))
    assert codes.min() >= 0 and codes.max() == GRID


def test_refusals() -> None:
    with pytest.raises(UserError, match="rows = 257: 1 to 256"):
        Crossbar(rows=257)
    with pytest.raises(UserError, match="headroom"):
        Crossbar(headroom=0.5)


def test_row_tile_is_a_view() -> None:
    weights = np.zeros((2, 4, 3, 3))
    RowTile((0, 2), (1, 3)).of(weights)[:] = 1
    assert weights.sum() == 2 * 2 * 2 * 3
