"""Read the published file formats without trusting them: CIFAR's pickles and MNIST's idx files."""

import codecs
import gzip
import pickle
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden_model.errors import UserError


def _dtype(name: Any, *_flags: Any) -> np.dtype[Any]:
    kind: np.dtype[Any] = np.dtype(name)
    if kind.hasobject:
        raise pickle.UnpicklingError("an array of Python objects")
    return kind


_RECONSTRUCT = np.empty(0).__reduce__()[0]
_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): _dtype,
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("_codecs", "encode"): codecs.encode,
}


class _Restricted(pickle.Unpickler):
    """Builds containers, numbers, strings and numeric arrays; whatever else a pickle names is refused."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name}") from None


def read_pickle(path: Path) -> dict[str, Any]:
    """The dictionary of a CIFAR batch file, keys as text; only plain data and numeric arrays can come out of it.

    Errors: UserError for a file that is missing, truncated, not such a pickle, or asks for any other class.
    """
    try:
        with path.open("rb") as file:
            content = _Restricted(file, encoding="bytes").load()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; check the data folder") from error
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path} is damaged or unsafe ({error}): a CIFAR batch holds plain data only; fetch the data set again"
        ) from error
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise UserError(f"{path} is truncated or no CIFAR batch; fetch the data set again") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} holds a {type(content).__name__}, not a CIFAR batch; fetch the data set again")
    return {key.decode() if isinstance(key, bytes) else str(key): value for key, value in content.items()}


def read_cifar(paths: list[Path], label_key: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images (N, 3, 32, 32) and labels (N,) of CIFAR batch files, in file order.

    Errors: UserError as in `read_pickle`, and for arrays that are no CIFAR images.
    """
    images: list[NDArray[np.uint8]] = []
    labels: list[NDArray[np.int64]] = []
    for path in paths:
        batch = read_pickle(path)
        data: Any = batch.get("data")
        names: Any = batch.get(label_key)
        good = isinstance(data, np.ndarray) and data.dtype == np.uint8 and data.ndim == 2 and data.shape[1] == 3072
        if not good or not isinstance(names, list) or not all(type(label) is int for label in names):
            raise UserError(
                f"{path} lacks 'data' of N x 3072 bytes or a list of numbers {label_key!r}; fetch the data set again"
            )
        images.append(data)
        labels.append(np.array(names, np.int64))
    return np.concatenate(images).reshape(-1, 3, 32, 32), np.concatenate(labels)


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The array of bytes of an idx file, plain or gzip.

    Errors: UserError for a file that is missing, truncated or not an idx file of unsigned bytes.
    """
    try:
        raw = path.read_bytes()
        if raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{path} is truncated or damaged; fetch the data set again") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; check the data folder") from error
    if len(raw) < 4 or raw[:3] != b"\0\0\x08":
        raise UserError(f"{path} is no idx file of bytes; fetch the data set again")
    start = 4 + 4 * raw[3]
    if len(raw) >= start:
        shape = struct.unpack(f">{raw[3]}I", raw[4:start])
        if len(raw) == start + int(np.prod(shape, dtype=np.int64)):
            return np.frombuffer(raw, np.uint8, offset=start).reshape(shape)
    raise UserError(f"{path} is truncated: its length is not what its header says; fetch the data set again")
