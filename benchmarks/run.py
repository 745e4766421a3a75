"""
Run the benchmarks and write RESULTS.md: ``python -m benchmarks.run [--only NAME] [--quick]``.

Each script answers one question: decoding, cores, adding, querying, pages, peaks. Nothing is
written outside a temporary folder but RESULTS.md, and that only when all have run in full.
"""

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

from benchmarks import adding, cold_start, cores, decoding, handler, pages, peaks, querying
from benchmarks.corpora import Corpora
from benchmarks.measure import ROOT, Options, Result

QUESTIONS: Final = {
    "decoding": decoding,
    "cores": cores,
    "adding": adding,
    "querying": querying,
    "pages": pages,
    "peaks": peaks,
    "handler": handler,
    "cold_start": cold_start,
}
RESULTS: Final = ROOT / "benchmarks" / "RESULTS.md"
LIBRARIES: Final = ("msgspec", "isal", "duckdb", "numpy")


def main() -> None:
    """Parse, run, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=QUESTIONS, action="append", help="this question only")
    parser.add_argument("--rounds", type=int, default=5, help="of which the medians are taken")
    parser.add_argument("--quick", action="store_true", help="a tenth of the data, two rounds")
    parser.add_argument("-o", "--output", type=Path, help="write the table here")
    given = parser.parse_args()
    begun = time.monotonic()
    results: list[tuple[str, Result]] = []
    with tempfile.TemporaryDirectory(prefix="apitracker-bench-") as work:
        options = Options(2 if given.quick else given.rounds, given.quick, Path(work))
        corpora = Corpora(options)
        for name in given.only or QUESTIONS:
            for result in QUESTIONS[name].run(options, corpora):
                results.append((name, result))
                print(f"{name}: {' | '.join(_cells(result))}", flush=True)
    minutes = (time.monotonic() - begun) / 60
    whole = not given.only and not given.quick
    output = given.output or (RESULTS if whole else None)
    if output:
        output.write_text(_page(results, options.rounds, minutes), encoding="utf-8")
        print(f"{output}: written after {minutes:.1f} minutes")


def _cells(result: Result) -> tuple[str, ...]:
    sign = "≤" if result.at_most else "≥"
    digits = 0 if result.ratio >= 100 else 2
    return (
        result.what,
        result.input,
        result.ours,
        result.baseline,
        f"{result.ratio:.{digits}f}{result.unit}",
        "" if result.target is None else f"{sign} {result.target:g}{result.unit}",
        {True: "met", False: "**missed**", None: ""}[result.met],
    )


def _page(results: Iterable[tuple[str, Result]], n: int, minutes: float) -> str:
    """Write the results as a page."""
    head = ("what", "input", "ours", "baseline", "ratio", "target", "")
    lines = [
        "# Benchmarks: what was measured last",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {_processor()}, {os.cpu_count()} cores, "
        f"{platform.system()}, Python {platform.python_version()}, "
        + ", ".join(f"{library} {version(library)}" for library in LIBRARIES)
        + f"; {n} rounds, {minutes:.1f} minutes in all.",
        "",
        "Written by `make bench`; the scripts beside this page say what exactly is compared.",
        "Times are medians over interleaved rounds, each contender in a process of its own;",
        "a ratio is the median of the ratios within a round. Only ratios mean something: the",
        "machine may have had other work. *real* is a corpus made of the records in",
        "`../shared/data`, which are no part of the project.",
    ]
    for name in QUESTIONS:
        rows = [_cells(result) for question, result in results if question == name]
        if rows:
            lines += ["", f"## {name}", "", _row(head), _row(("---",) * len(head))]
            lines += [_row(row) for row in rows]
    missed = [result for _, result in results if result.met is False]
    lines += ["", "## Shortfalls", ""]
    lines += [f"- {' · '.join(filter(None, _cells(result)))}" for result in missed] or ["None."]
    return "\n".join(lines) + "\n"


def _row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def _processor() -> str:
    """Name the processor, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


if __name__ == "__main__":
    main()
