"""
How things are measured: each contender in a process of its own, rounds interleaved.

Ratios are taken within a round, between neighbours in time, so that other work on the machine
meets both; the median over the rounds is what is shown.
"""

import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

ROOT: Final = Path(__file__).parent.parent
SCRIPTS: Final = Path(sys.executable).parent
MIB: Final = 1024 * 1024


class Result(Struct, frozen=True):
    """
    The result of one comparison: *ours* and *baseline* in words, and their *ratio*.

    The ratio has to be at least *target* or, with *at_most*, at most; without a target it is for
    information.
    """

    what: str
    input: str
    ours: str
    baseline: str
    ratio: float
    target: float | None = None
    at_most: bool = False
    unit: str = "x"

    @property
    def met(self) -> bool | None:
        """Whether the target was met; None if there is none."""
        if self.target is None:
            return None
        return self.ratio <= self.target if self.at_most else self.ratio >= self.target


class Options(Struct, frozen=True):
    """The number of rounds and the amount of data; *work* is a folder for files."""

    rounds: int
    quick: bool
    work: Path


def settle() -> None:
    """Set the garbage collector as `apitracker.cli.main.main` does: that is part of ours."""
    gc.set_threshold(100_000, 50, 50)


def child(module: str, *arguments: str) -> Any:  # noqa: ANN401 - JSON
    """Run ``python -m benchmarks.<module> ARGUMENTS`` and return the JSON that it prints."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
    return json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)


def wall(*commands: list[str], environment: Mapping[str, str] | None = None) -> float:
    """Run *commands* at the same time; return the seconds until all have ended."""
    begun = time.perf_counter()
    running = [
        subprocess.Popen(command, env=os.environ | (environment or {}), stderr=subprocess.DEVNULL)
        for command in commands
    ]
    for process in running:
        if process.wait() > 1:  # 1: a record was rejected
            raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
    return time.perf_counter() - begun


def rounds(n: int, contenders: Mapping[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Measure each of *contenders* once a round, back and forth; the first round does not count."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    order = list(contenders)
    for i in range(n + 1):
        for name in order:
            taken = contenders[name]()
            if i:
                times[name].append(taken)
        order.reverse()
    return times


def ratio(baseline: list[float], ours: list[float]) -> float:
    """Return how many times as long the baseline takes: the median over the rounds."""
    return statistics.median(b / o for b, o in zip(baseline, ours, strict=True))


def seconds(times: list[float]) -> str:
    """Write the median of *times*."""
    middle = statistics.median(times)
    return f"{middle:.2f} s" if middle >= 1 else f"{middle * 1000:.3g} ms"


def memory(field: str) -> int:
    """Return a line of this process's status, VmHWM or VmRSS, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise ValueError(field)
