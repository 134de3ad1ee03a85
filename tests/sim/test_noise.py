"""Counter-based noise: the same bits in any order, and normal enough."""

import math

import numpy as np
import torch

from sim import noise


def test_table_is_normal() -> None:
    table = noise.normal_table().double().numpy()
    assert len(table) == 4096 and abs(table.mean()) < 1e-12 and abs(table.var() - 1) < 1e-4
    assert (table == -table[::-1]).all()
    assert (table * 4096 == np.rint(table * 4096)).all()


def test_hash_by_python_integers() -> None:
    """The int32 tensor form equals the unsigned 32-bit one."""

    def mix(x: int) -> int:
        x ^= x >> 16
        x = x * 0x7FEB352D & 0xFFFFFFFF
        x ^= x >> 15
        x = x * 0x846CA68B & 0xFFFFFFFF
        return x ^ x >> 16

    values = [0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 123456789, 0xDEADBEEF]
    tensor = torch.from_numpy(np.array(values, np.uint32).view(np.int32))
    assert noise.mix(tensor).numpy().view(np.uint32).tolist() == [mix(value) for value in values]


def test_rows_do_not_depend_on_the_batch() -> None:
    whole = noise.row_keys(noise.key(3), torch.arange(10, dtype=torch.int32), 16)
    parts = [noise.row_keys(noise.key(3), torch.arange(i, i + 2, dtype=torch.int32), 16) for i in range(0, 10, 2)]
    assert torch.equal(whole, torch.cat(parts))
    assert len(set(whole.tolist())) == len(whole)


def test_statistics() -> None:
    """A million pairs: mean, variance, correlation between polarities, rows and columns, within five sigma."""
    rows = noise.row_keys(noise.key(1), torch.arange(250, dtype=torch.int32), 64)
    columns = noise.mix(noise.column_keys(64) ^ noise.key(1, 2, 3))
    first, second = noise.normal_pair(rows, columns, noise.normal_table())
    n = first.numel()
    for deviates in (first, second):
        assert abs(float(deviates.double().mean())) < 5 / math.sqrt(n)
        assert abs(float(deviates.double().var()) - 1) < 5 * math.sqrt(2 / n)
        assert abs(float((deviates[1:] * deviates[:-1]).double().mean())) < 5 / math.sqrt(n)
        assert abs(float((deviates[:, 1:] * deviates[:, :-1]).double().mean())) < 5 / math.sqrt(n)
        assert float(deviates.double().mean(0).std()) < 1.5 / math.sqrt(len(rows))  # no column is special
    assert abs(float((first * second).double().mean())) < 5 / math.sqrt(n)


def test_other_keys_give_other_noise() -> None:
    rows = noise.row_keys(noise.key(1), torch.arange(4, dtype=torch.int32), 64)
    table = noise.normal_table()
    layers = [
        noise.normal_pair(rows, noise.mix(noise.column_keys(32) ^ noise.key(0, layer, 0)), table)[0] for layer in (0, 1)
    ]
    n = layers[0].numel()
    assert abs(float((layers[0] * layers[1]).mean())) < 5 / math.sqrt(n)
