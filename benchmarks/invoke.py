"""
One contender in a process that holds nothing else: ``python -m benchmarks.invoke WHAT WHO PATH``.

*count* and *whole* print the seconds for all events of a folder, *peak* the greatest memory, in
bytes, that a process has taken after the one event of a file.
"""

import importlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

HANDLERS: Final = {
    "ledger": "apitracker.tracker.handler",
    "ours": "apitracker.tracker.handler",
    "port": "benchmarks.port",
}
"""Contenders: ours with the ledger and without, and a plain port of the predecessor."""

SETTINGS: Final = {
    "ledger": {"APITRACKER_LEDGER": "ledger", "APITRACKER_OWN_ROLE": "arn:aws:iam::1:role/r"}
}


class Context:
    """What Lambda says of an invocation."""

    aws_request_id = "00000000-0000-0000-0000-000000000000"

    def get_remaining_time_in_millis(self) -> int:
        """How long it may still take."""
        return 60_000


def _work(what: str, who: str) -> Callable[[dict[str, Any]], object]:
    module = importlib.import_module(HANDLERS[who])
    if what != "count":
        return lambda given: module.handler(given, Context())
    if who == "port":
        return lambda given: module.count(given["awslogs"]["data"])
    tracking = importlib.import_module("apitracker.tracker.tracking")
    envelopes = importlib.import_module("apitracker.tracker.envelopes")
    selection = tracking.MetricSelection()

    def count(given: dict[str, Any]) -> None:
        for log in envelopes.open_event(given):
            tracking.count_by_set(tracking.count_log(log, selection, None).counts, selection)

    return count


def _main(what: str, who: str, path: Path) -> None:
    if what == "peak":
        importlib.import_module("awslambdaric.bootstrap")  # a part of what a Lambda takes
        _work(what, who)(json.loads(path.read_bytes()))
        status = Path("/proc/self/status").read_text()
        print(int(status.partition("VmHWM:")[2].split()[0]) * 1024)
        return
    work = _work(what, who)
    events = [json.loads(file.read_bytes()) for file in sorted(path.iterdir())]
    work(events[0])  # connected, and code is warm
    begun = time.perf_counter()
    for given in events:
        work(given)
    print(time.perf_counter() - begun)


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
