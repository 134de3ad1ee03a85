"""One instance of a compiled model: what its classes share."""

from __future__ import annotations

import ctypes


class Chip:
    """A library of `clocked.h` and an instance in it, freed with this object."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        library.unit_new.restype = ctypes.c_void_p
        library.unit_cycles.restype = ctypes.c_uint64
        self._handle = ctypes.c_void_p(library.unit_new())

    def __del__(self) -> None:
        if hasattr(self, "_handle"):
            self._library.unit_delete(self._handle)

    @property
    def cycles(self) -> int:
        """Return the clock cycles so far."""
        return int(self._library.unit_cycles(self._handle))
