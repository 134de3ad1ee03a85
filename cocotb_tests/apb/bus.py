"""The requester of the bench: one transfer at a time, counted in wait states; junk on the bus between transfers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from cocotb.triggers import RisingEdge

from cocotb_tests.checker import Mismatch
from cocotb_tests.drivers import Handle, junk

PATIENCE = 8
"""Wait states after which the bench gives up; the wrapper has two at most."""
ALL = 0xF
"""Every byte of a word."""


class Reply(NamedTuple):
    """What a transfer ended with."""

    data: int
    """prdata."""
    error: bool
    """pslverr."""
    waits: int
    """Wait states."""


class Bus:
    """Drives the APB. Transfers follow back to back, or with idle cycles in which another subordinate is spoken to."""

    def __init__(self, dut: Handle, address_bits: int, rng: np.random.Generator) -> None:
        self._dut, self._bits, self._rng = dut, address_bits, rng
        self._edge = RisingEdge(dut.clk)
        self.brisk = False
        """Whether transfers have no idle cycles in front of them."""
        self.transfers = 0
        """Transfers so far."""
        self.rest()

    def rest(self) -> None:
        """Leave the bus to others: psel is 0, everything else is junk."""
        dut = self._dut
        dut.apb__psel.value = 0
        dut.apb__penable.value = int(self._rng.integers(2))
        for name, bits in (("paddr", self._bits), ("pwdata", 32), ("pstrb", 4), ("pwrite", 1)):
            getattr(dut, f"apb__{name}").value = junk(self._rng, bits)

    async def transfer(self, address: int, data: int | None = None, strobes: int = ALL) -> Reply:
        """Carry out one transfer, a write where there is data; return its reply.

        Idle cycles in front of it are drawn. Errors: Mismatch where pready is unknown, early or never comes.
        """
        rests = not self.brisk and self._rng.random() < 0.25
        for _ in range(int(self._rng.integers(3)) if rests else 0):
            self.rest()
            await self._edge
            self._check()
        dut = self._dut
        dut.apb__psel.value, dut.apb__penable.value = 1, 0
        dut.apb__paddr.value, dut.apb__pwrite.value = address, int(data is not None)
        dut.apb__pwdata.value = junk(self._rng, 32) if data is None else data & 0xFFFFFFFF
        dut.apb__pstrb.value = strobes if data is not None else 0
        await self._edge
        self._check()
        dut.apb__penable.value = 1
        for waits in range(PATIENCE):
            await self._edge
            if str(dut.apb__pready.value) == "1":
                self.transfers += 1
                reply = Reply(self._known("prdata"), bool(self._known("pslverr")), waits)
                dut.apb__psel.value = 0
                return reply
            self._check()
        raise Mismatch("bus", f"no pready for address {address:#x} in {PATIENCE} cycles")

    def _known(self, name: str) -> int:
        digits = str(getattr(self._dut, f"apb__{name}").value)
        if set(digits) - {"0", "1"}:
            raise Mismatch("bus", f"{name} is {digits}")
        return int(digits, 2)

    def _check(self) -> None:
        """Check that nothing answers a transfer that has not begun."""
        if self._known("pready"):
            raise Mismatch("bus", "pready is high outside the access phase of a transfer")

    async def read(self, address: int) -> int:
        """Read a register that must be there."""
        reply = await self.transfer(address)
        if reply.error:
            raise Mismatch("bus", f"reading {address:#x} is an error")
        return reply.data

    async def write(self, address: int, data: int) -> None:
        """Write a register that must take it; its reply must carry no data."""
        reply = await self.transfer(address, data)
        if reply.error or reply.data:
            raise Mismatch("bus", f"writing {data:#x} to {address:#x} is answered with {reply}")

    async def refuse(self, address: int, data: int | None = None, strobes: int = ALL) -> None:
        """Carry out a transfer that must end with an error and without data."""
        reply = await self.transfer(address, data, strobes)
        if not reply.error or reply.data:
            what = "reading" if data is None else f"writing {data:#x}, strobes {strobes:04b},"
            raise Mismatch("bus", f"{what} at {address:#x} must be an error, is {reply}")
