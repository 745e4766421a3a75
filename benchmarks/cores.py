"""
How well does ``apitracker count`` use two cores?

The whole command on two processes, beside two independent interpreters that run the same command
at the same time, each on half of the logs and each on one process: they share nothing and merge
nothing, so no program that gives one answer can beat them.
"""

from collections.abc import Iterable
from functools import partial
from pathlib import Path

from benchmarks.corpora import Corpora, describe
from benchmarks.decoding import MINUTE
from benchmarks.measure import SCRIPTS, Options, Result, ratio, rounds, seconds, wall


def run(options: Options, corpora: Corpora) -> Iterable[Result]:
    """Answer the question for each corpus: by API, and by minute, API and region."""
    for name in corpora.names():
        whole = corpora.whole(name)
        halves = [corpora.part(name, 2, nth) for nth in range(2)]
        for by in ("eventSource,eventName", ",".join(MINUTE)):
            contenders = {
                "two": partial(_independent, options, by, halves),
                "ours": partial(_together, options, by, whole),
            }
            times = rounds(options.rounds, contenders)
            yield Result(
                f"apitracker count --by {by} on two cores, against two interpreters on half each",
                f"{name}: {describe(whole)}",
                seconds(times["ours"]),
                seconds(times["two"]),
                ratio(times["two"], times["ours"]),
                0.8,
            )


def _together(options: Options, by: str, folder: Path) -> float:
    command = _command(by, folder, options.work / "counts.csv")
    return wall(command, environment={"APITRACKER_PROCESSES": "2"})


def _independent(options: Options, by: str, halves: list[Path]) -> float:
    commands = [_command(by, half, options.work / f"{half.name}.csv") for half in halves]
    return wall(*commands, environment={"APITRACKER_PROCESSES": "1"})


def _command(by: str, folder: Path, output: Path) -> list[str]:
    program = str(SCRIPTS / "apitracker")
    return [program, "count", str(folder), "--by", by, "--format", "csv", "-o", str(output)]
