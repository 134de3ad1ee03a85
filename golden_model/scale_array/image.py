"""The memory image of the scale factors: one line a row of the array, hexadecimal, as `$readmemh` and the RTL take it.

Row j * scale_bits + r holds words r * words .. r * words + words - 1 of stream j; word w stands in columns
w * scale_bits and up, column 0 in the lowest bit.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from golden_model.errors import UserError
from golden_model.fixed import Integers
from golden_model.scale_array.config import ScaleArrayConfig
from golden_model.scale_array.model import check


def to_rows(config: ScaleArrayConfig, scales: Integers) -> NDArray[np.int64]:
    """Return scales (streams, columns) as the words of the array's rows, (scale_rows, words)."""
    check(config, scales)
    return np.asarray(scales, np.int64).reshape(config.scale_rows, config.words)


def to_image(config: ScaleArrayConfig, scales: Integers) -> str:
    """Return the image of scales (streams, columns) as text, `scale_rows` lines."""
    digits = -(-config.columns // 4)
    lines = []
    for row in to_rows(config, scales).tolist():
        packed = sum(word << (config.scale_bits * index) for index, word in enumerate(row))
        lines.append(f"{packed:0{digits}x}\n")
    return "".join(lines)


def from_image(config: ScaleArrayConfig, lines: Iterable[str], where: str = "image") -> NDArray[np.int64]:
    """Return the scales, (streams, columns), of an image's lines; refuses (UserError) one of another geometry."""
    given = [line.strip() for line in lines if line.strip()]
    if len(given) != config.scale_rows:
        raise UserError(
            f"{where} has {len(given)} rows: this array has {config.scale_rows}, "
            f"{config.scale_bits} for each of {config.streams} streams"
        )
    digits = -(-config.columns // 4)
    rows = []
    for number, line in enumerate(given, 1):
        try:
            packed = int(line, 16)
        except ValueError:
            raise UserError(f"{where}, row {number}: {line[:20]!r} is not hexadecimal") from None
        if len(line) != digits or not 0 <= packed < 1 << config.columns:
            raise UserError(
                f"{where}, row {number} has {len(line)} digits: {config.columns} columns are {digits} digits a row"
            )
        mask = (1 << config.scale_bits) - 1
        rows.append([packed >> (config.scale_bits * word) & mask for word in range(config.words)])
    return np.array(rows, np.int64).reshape(config.streams, config.columns)
