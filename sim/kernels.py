"""Fused epilogues: `torch.compile` where a C++ compiler stands, eager elsewhere; the same bits either way.

Inductor neither contracts a multiplication with an addition nor reorders floating-point sums unless told to, keeps
roundings to binary16 when told to (`EXACT`), and everything else in an epilogue is integers, floor, square root and
table look-ups, which are exact.
"""

from __future__ import annotations

import os
import shutil
import types
from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch import Tensor

EXACT: dict[str, Any] = {"emulate_precision_casts": True, "assert_indirect_indexing": False}
"""Inductor keeps every rounding to binary16 instead of computing on in float32. The one look-up, of deviates, has 12
bits of a hash as its index: checking it would only cost time."""

_compiled: dict[Hashable, Callable[..., Any]] = {}


def compiler_stands() -> bool:
    """Return whether `torch.compile` can build code for the processor here."""
    return any(shutil.which(name) for name in (os.environ.get("CXX", ""), "g++", "clang++") if name)


def fuse(function: Callable[..., Any], key: Hashable) -> Callable[..., Any]:
    """Return `function` compiled once a key: the key names everything that decides its graph but the row count.

    Each kernel gets a code object of its own: torch counts recompilations by code object and refuses a ninth.
    """
    if key not in _compiled:

        def call(*arguments: Any) -> Any:
            return function(*arguments)

        code = call.__code__.replace(co_name=f"epilogue_{len(_compiled)}")
        own = types.FunctionType(code, call.__globals__, code.co_name, None, call.__closure__)
        _compiled[key] = torch.compile(own, fullgraph=True, options=EXACT)
    return _compiled[key]


def any_rows(*tensors: Tensor | None) -> None:
    """Tell the compiler that the first dimension of these tensors varies from call to call."""
    for tensor in tensors:
        if tensor is not None and tensor.shape[0] > 1:
            torch._dynamo.mark_dynamic(tensor, 0)
