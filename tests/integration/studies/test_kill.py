"""The whole command, killed with SIGKILL at random moments: the next call goes on, nothing is lost."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from golden_model.errors import UserError
from integration.studies.sweep.store import Store, read_results

pytestmark = pytest.mark.whole

ROOT = Path(__file__).parents[3]
STUDY = """
task = "trivial_tasks:TRIVIAL"
seeds = 5
[base]
pause = 0.01
[grid]
shape.width = [1, 2, 3, 4, 5, 6]
shape.height = [1, 2, 3, 4, 5]
"""
POINTS = 150


def _hears_ctrl_c() -> None:
    """What runs in the background of a shell script has SIGINT ignored, and would hand that on."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Command:
    """`nmpu sweep` in a folder of its own, with a ledger of what was computed."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder, self.options = folder, options
        self.ledger, self.out = folder / "ledger", folder / "out"
        folder.mkdir()
        (folder / "kill.toml").write_text(STUDY)

    def start(self) -> subprocess.Popen[str]:
        path = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
        return subprocess.Popen(
            [sys.executable, "-m", "integration.cli", "sweep", "kill.toml", "-o", "out", *self.options],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": path, "LEDGER": str(self.ledger)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=_hears_ctrl_c,
        )

    def finish(self) -> str:
        process = self.start()
        output, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        return output

    def kill_after(self, seconds: float, points: int = 0) -> None:
        """Kill it so long after so many points were begun, on a busy machine as on an idle one."""
        before = sum(self.computed().values())
        process = self.start()
        while sum(self.computed().values()) < before + points and process.poll() is None:
            time.sleep(0.001)
        time.sleep(seconds)
        process.kill()
        process.communicate()

    def processes(self) -> list[str]:
        """Return the processes that stand in the folder."""
        found = []
        for link in Path("/proc").glob("[0-9]*/cwd"):
            with suppress(OSError):  # ended meanwhile, or another user's
                if link.readlink() == self.folder:
                    found.append(link.parent.name)
        return found

    def computed(self) -> Counter[str]:
        return Counter(self.ledger.read_text().splitlines()) if self.ledger.exists() else Counter()

    def kept(self) -> set[str]:
        return set(Store.read(self.out).outcomes)


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What a sweep that nobody disturbs writes."""
    command = Command(tmp_path_factory.mktemp("calm") / "c")
    command.finish()
    assert set(command.computed().values()) == {1}
    return (command.out / "results.jsonl").read_bytes()


@pytest.mark.parametrize("workers", [1, 2])
def test_ten_kills(tmp_path: Path, calm: bytes, workers: int) -> None:
    """Ten moments in process and ten with two workers, from start-up to the end: only what ran is computed again."""
    command = Command(tmp_path / "k", "--workers", str(workers))
    moments = random.Random(workers)
    before: set[str] = set()
    kills = 10
    for number in range(kills):
        if number % 2:  # while points are computed
            command.kill_after(moments.uniform(0, 0.02), points=moments.randint(1, 30))
        else:  # anywhere, start-up and the last writing included
            command.kill_after(moments.uniform(0.1, 0.8))
        for path in command.out.glob("*.json*"):  # whatever stands is whole
            for line in path.read_text().splitlines()[:-1]:
                json.loads(line)
        assert before <= command.kept()
        before = command.kept()
    assert before
    deadline = time.monotonic() + 10
    while command.processes() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert command.processes() == [], "a killed sweep's workers stayed"
    output = command.finish()
    assert f"{POINTS} of {POINTS} points" in output
    assert (command.out / "results.jsonl").read_bytes() == calm
    counts = command.computed()
    assert len(counts) == POINTS and sum(counts.values()) <= POINTS + kills * workers
    leftovers = {p.name for p in command.out.iterdir()} - {"log.jsonl", "results.jsonl", "runs.jsonl", "study.toml"}
    assert {name for name in leftovers if not name.startswith(".")} == {"lock", "report.html"}


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_says_how_to_go_on(tmp_path: Path, calm: bytes, workers: int) -> None:
    command = Command(tmp_path / "k", "--workers", str(workers))
    process = command.start()
    while len(command.computed()) < 5 and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130 and "Traceback" not in errors
    assert errors.startswith("nmpu: interrupted; ") and "the same command goes on" in errors
    assert 0 < len(read_results(command.out).rows) < POINTS
    command.finish()
    assert (command.out / "results.jsonl").read_bytes() == calm


def test_a_full_disk(tmp_path: Path, calm: bytes) -> None:
    """A file system of 64 KiB: one line, exit code 2, and with room again the sweep goes on."""
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting needs root; tests of the log fill the disk by a patched write")
    try:
        command = Command(tmp_path / "k", "--workers", "2")
        command.out.symlink_to(small)
        for _ in range(2):
            process = command.start()
            _, errors = process.communicate(timeout=30)
            assert process.returncode == 2
            assert errors.startswith("nmpu: cannot write ") and "No space left" in errors and errors.count("\n") == 1
        assert 0 < len(command.kept()) <= POINTS
        assert not list(small.glob("results.jsonl")) or read_results(small)
        subprocess.run(["mount", "-o", "remount,size=4m", str(small)], check=True)
        command.finish()
        assert (small / "results.jsonl").read_bytes() == calm
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_the_folder_of_a_running_sweep_is_refused(tmp_path: Path) -> None:
    command = Command(tmp_path / "k")
    first = command.start()
    while len(command.computed()) < 2 and first.poll() is None:
        time.sleep(0.02)
    second = command.start()
    _, errors = second.communicate(timeout=30)
    assert second.returncode == 2 and f"in use by another sweep (process {first.pid} on" in errors
    first.kill()
    first.communicate()
    with pytest.raises(UserError, match="`nmpu sweep` writes it"):
        read_results(command.out)
