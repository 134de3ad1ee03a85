"""Compiles Verilog with Icarus and runs a bench in it: two commands, in the environment that cocotb needs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cocotb_tools.config
import find_libpython

from cocotb_tests.job import JOB, Job, Outcome
from golden_model.errors import UserError

INSTALL = "sudo apt-get install iverilog"
"""What puts the simulator on a Debian or Ubuntu machine."""


def missing() -> str | None:
    """Return what is missing and the command that mends it, or None where Icarus Verilog stands."""
    absent = [tool for tool in ("iverilog", "vvp") if shutil.which(tool) is None]
    return f"{' and '.join(absent)} not found: install Icarus Verilog with `{INSTALL}`" if absent else None


def require() -> None:
    """Refuse (UserError) to go on without Icarus Verilog."""
    if (reason := missing()) is not None:
        raise UserError(reason)


@contextmanager
def workspace() -> Iterator[Path]:
    """Return a folder for one build, removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="nmpu_") as name:
        yield Path(name)


def compile_verilog(text: str, folder: Path, *, top: str = "nmpu", waves: Path | None = None) -> Path:
    """Compile Verilog text to `folder`/sim.vvp; with `waves`, a run leaves the trace of every signal in that file.

    As Verilog-2005: by the rules of SystemVerilog (-g2012) initial values are set before any `always @*` waits for a
    change, and a block whose inputs then never change (a word counter of one column) stays X for ever.
    """
    require()
    source, compiled = folder / f"{top}.v", folder / "sim.vvp"
    source.write_text(text)
    tops, sources = ["-s", top], [str(source)]
    if waves is not None:
        quoted = str(waves).replace("\\", "\\\\").replace('"', '\\"')
        dump = folder / "waves.v"
        dump.write_text(f'module nmpu_waves; initial begin $dumpfile("{quoted}"); $dumpvars(0, {top}); end endmodule\n')
        tops, sources = [*tops, "-s", "nmpu_waves"], [*sources, str(dump)]
    commands = folder / "commands.f"
    commands.write_text("+timescale+1ns/1ps\n")
    command = ["iverilog", "-g2005", "-o", str(compiled), *tops, "-f", str(commands), *sources]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"iverilog refuses the design:\n{done.stdout}{done.stderr}")
    return compiled


def _environment(module: str, top: str, folder: Path) -> dict[str, str]:
    """Return the environment of a simulation: where cocotb finds Python, this package and the bench."""
    libpython = os.environ.get("LIBPYTHON_LOC") or find_libpython.find_libpython()
    if libpython is None:
        raise UserError("no shared libpython found: install the python3 development package, or set LIBPYTHON_LOC")
    here = str(Path(__file__).resolve().parents[1])
    return os.environ | {
        "GPI_USERS": f"{libpython};{cocotb_tools.config.pygpi_entry_point()}",
        "PATH": os.environ.get("PATH", "") + os.pathsep + str(cocotb_tools.config.libs_dir),
        "PYTHONPATH": os.pathsep.join([here, *(entry for entry in sys.path if entry)]),
        "PYGPI_PYTHON_BIN": sys.executable,
        "COCOTB_TOPLEVEL": top,
        "COCOTB_TEST_MODULES": module,
        "COCOTB_RESULTS_FILE": str(folder / "results.xml"),
        "COCOTB_ANSI_OUTPUT": "0",
        "TOPLEVEL_LANG": "verilog",
    }


def simulate(
    compiled: Path, bench: str, job: Job, *, top: str = "nmpu", waves: Path | None = None, seconds: float | None = None
) -> Outcome:
    """Run `cocotb_tests.<bench>` on a compiled design and return what it saw.

    The job file, the outcome and the log stand beside the compiled design. A run that leaves no outcome (the simulator
    stopped, the bench raised) is a RuntimeError with the end of its log; one longer than `seconds` a TimeoutError.
    """
    folder = compiled.parent
    job_file, log, result = folder / "job.json", folder / "simulation.log", Path(job.result)
    job.write(job_file)
    result.unlink(missing_ok=True)
    environment = _environment(f"cocotb_tests.{bench}", top, folder) | {JOB: str(job_file)}
    trace = ["-none"] if waves is None else ["-fst"] if waves.suffix == ".fst" else []
    command = ["vvp", "-m", str(cocotb_tools.config.lib_entry("vpi", "icarus")), str(compiled), *trace]
    with log.open("w") as stream:
        try:
            subprocess.run(
                command, cwd=folder, env=environment, stdout=stream, stderr=stream, check=False, timeout=seconds
            )
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"the simulation ran longer than {seconds} seconds") from None
    if not result.exists():
        end = "\n".join(log.read_text(errors="replace").splitlines()[-30:])
        raise RuntimeError(f"the simulation left no result; the end of its log:\n{end}")
    return Outcome.read(result)
