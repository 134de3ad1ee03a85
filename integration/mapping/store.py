"""A converted network in one file: JSON beside arrays (npz). Loading builds known dataclasses and runs no code."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from golden_model.errors import UserError
from golden_model.fixed import Format, Rounding
from golden_model.fp16_unit import Fp16Config
from golden_model.nmpu_config import Input, NmpuConfig
from golden_model.nmpu_config import Layer as UnitLayer
from integration.mapping import operations
from integration.mapping.calibrated import Calibrated, CalibratedLayer, Calibration
from integration.mapping.network import ConvertedNetwork
from integration.mapping.quantise import Clips, UnitParameters
from integration.mapping.rtl import Fp16Rtl, NmpuRtl
from integration.zoo.files import atomic
from sim.array import Crossbar, Geometry, RowTile, Tiles
from sim.devices import Device
from sim.digital import FloatUnit, Fp16Unit, NmpuUnit
from sim.encode import PulseWidth
from sim.readout import CountingConverter
from sim.tile import ProgrammedLayer, Tile
from sim.wires import IdealWires
from synth.compiled import Engine

VERSION = 1
"""Version of the file's layout."""

_DATACLASSES: dict[str, type[Any]] = {
    f"{kind.__module__}.{kind.__qualname__}": kind
    for kind in (
        Calibrated, CalibratedLayer, Calibration, Clips, ConvertedNetwork, CountingConverter, Crossbar, FloatUnit,
        Fp16Config, Fp16Rtl, Fp16Unit, Geometry, IdealWires, NmpuConfig, NmpuRtl, NmpuUnit, ProgrammedLayer, PulseWidth,
        RowTile, Tile, Tiles, UnitLayer, UnitParameters, operations.Flatten, operations.Graph, operations.Layer,
        operations.MaxPool, operations.Pad, operations.Slice, operations.SumPool,
    )
}  # fmt: skip
_TEXTS: dict[str, Any] = {"Format": Format, "Device": Device}
_ENUMS: dict[str, type[Enum]] = {"Engine": Engine, "Input": Input, "Rounding": Rounding}


def _pack(value: Any, arrays: dict[str, Any]) -> Any:
    """Return a value as JSON data, its arrays moved to `arrays`."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Enum):
        return {"enum": type(value).__name__, "value": value.value}
    if type(value).__name__ in _TEXTS:
        return {"text": type(value).__name__, "value": str(value)}
    if isinstance(value, np.ndarray | Tensor):
        name = f"a{len(arrays)}"
        arrays[name] = value.contiguous().numpy() if isinstance(value, Tensor) else value
        last = isinstance(value, Tensor) and value.ndim == 4
        return {"array": name, "kind": "image" if last else "tensor" if isinstance(value, Tensor) else "numpy"}
    if isinstance(value, list | tuple):
        return {type(value).__name__: [_pack(item, arrays) for item in value]}
    if isinstance(value, dict):
        return {"dict": [[key, _pack(item, arrays)] for key, item in value.items()]}
    name = f"{type(value).__module__}.{type(value).__qualname__}"
    if name not in _DATACLASSES:
        raise UserError(f"a {type(value).__name__} cannot be saved: only the project's own units and presets can")
    fields = {f.name: _pack(getattr(value, f.name), arrays) for f in dataclasses.fields(value)}
    return {"class": name, "fields": fields}


def _unpack(data: Any, arrays: Any) -> Any:
    """Return what `_pack` packed."""
    if not isinstance(data, dict):
        return data
    match data:
        case {"enum": name, "value": value}:
            return _ENUMS[name](value)
        case {"text": name, "value": value}:
            return _TEXTS[name].parse(value)
        case {"array": name, "kind": kind}:
            array = arrays[name]
            if kind == "numpy":
                return array
            tensor = torch.from_numpy(array)
            return tensor.contiguous(memory_format=torch.channels_last) if kind == "image" else tensor
        case {"list": items}:
            return [_unpack(item, arrays) for item in items]
        case {"tuple": items}:
            return tuple(_unpack(item, arrays) for item in items)
        case {"dict": items}:
            return {key: _unpack(item, arrays) for key, item in items}
        case {"class": name, "fields": fields}:
            return _DATACLASSES[name](**{key: _unpack(item, arrays) for key, item in fields.items()})
    raise KeyError(f"unknown entry {sorted(data)}")


def save(network: ConvertedNetwork, path: Path) -> None:
    """Write a converted, calibrated network to one file, atomically."""
    arrays: dict[str, Any] = {}
    text = json.dumps({"version": VERSION, "network": _pack(network, arrays)})
    arrays["json"] = np.frombuffer(text.encode(), dtype=np.uint8)
    try:
        with atomic(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from error


def load(path: Path) -> ConvertedNetwork:
    """Return a network that `save` wrote: the same bits."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            document = json.loads(bytes(arrays["json"]).decode())
            if document.get("version") != VERSION:
                raise UserError(
                    f"{path} was saved in layout {document.get('version')}, this version reads {VERSION}: convert again"
                )
            network = _unpack(document["network"], arrays)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile, EOFError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path} is not a converted network, or is damaged; save it again") from error
    if not isinstance(network, ConvertedNetwork):
        raise UserError(f"{path} holds no converted network")
    return network
