"""Run fault campaigns of many seeds, and print a table of them."""

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.chaos.proxy import Kind
from tests.chaos.trial import Trial, attempt, settings

COLUMNS = {
    "payloads": "payloads",
    "delivered": "deliveries of them, each up to three times",
    "again": "deliveries of what had been delivered",
    "faults": "requests with which something went wrong",
    "invoked": "invocations, up to three of each delivery",
    "failed": "invocations that failed",
    "kept": "deliveries that Lambda gave up",
    "missing": "calls that were not published by then",
    "redrives": "runs of apitracker redrive until nothing was kept, one of them undisturbed",
    "counted": "calls that CloudWatch has in the end",
    "doubtful": "batches that are said to be in doubt",
    "twice": "batches that CloudWatch has more than once, all of them in doubt",
    "wrong": "anything else",
}


def measure(trial: Trial) -> Counter[str]:
    """Give the figures of *trial*, by column."""
    campaign = trial.campaign
    return Counter(
        {
            "payloads": len(campaign.logs),
            "delivered": len(campaign.payloads),
            "again": len(campaign.payloads) - len(campaign.logs),
            "faults": trial.injected.total(),
            "invoked": len(campaign.invocations),
            "failed": sum(each.failed for each in campaign.invocations),
            "kept": len(campaign.kept),
            "missing": trial.after.counted - trial.before.counted,
            "redrives": trial.redrives,
            "counted": trial.after.counted,
            "doubtful": len(trial.doubts),
            "twice": len(trial.after.repeats),
            "wrong": len(trial.wrong),
        }
    )


def run(seed: int) -> Trial:
    """Run the campaign of *seed*."""
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        return attempt(seed, Path(folder))


def line(name: str, values: Mapping[str, int], after: str = "") -> str:
    """Write a line of the table."""
    cells = (f"{values[column]:>{max(len(column), 6)},}" for column in COLUMNS)
    return "  ".join([f"{name:>5}", *cells, after]).rstrip()


def say(text: str) -> None:
    """Write a line, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> int:
    """Parse, run, print. 1 if anything is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="how many (default: 20)")
    parser.add_argument("--first", type=int, default=1, help="the first of them (default: 1)")
    parser.add_argument("--at-once", type=int, default=2, help="campaigns at a time (default: 2)")
    given = parser.parse_args()
    for column, meaning in COLUMNS.items():
        say(f"{column:>9}  {meaning}")
    say("\n seed  " + "  ".join(f"{column:>6}" for column in COLUMNS))
    total: Counter[str] = Counter()
    injected: Counter[tuple[str, str]] = Counter()
    with ThreadPoolExecutor(given.at_once) as pool:
        for trial in pool.map(run, range(given.first, given.first + given.seeds)):
            seed, figures = trial.campaign.seed, measure(trial)
            chosen = " ".join(f"{k}={v}" for k, v in settings(seed).items())
            say(line(str(seed), figures, chosen))
            for wrong in trial.wrong:
                say(f"       {wrong}")
            total.update(figures)
            injected.update(trial.injected)
    say(line("total", total))
    steps = sorted({step for step, _ in injected})
    say(f"\n{'faults':>18}  " + "  ".join(f"{step:>9}" for step in steps))
    for kind in Kind:
        say(f"{kind:>18}  " + "  ".join(f"{injected[step, kind]:>9,}" for step in steps))
    return 1 if total["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
