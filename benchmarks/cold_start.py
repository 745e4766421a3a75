"""
How soon has a new Lambda published? Under AWS's own runtime client, awslambdaric.

The baseline is benchmarks/port.py, which is the same with boto3's client. *whole* is from the
start of the process to the answer; *code* leaves out what is the runtime's: it begins when the
handler is imported. Over plain HTTP: neither reads certificates.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Final

from benchmarks import stub
from benchmarks.corpora import Corpora
from benchmarks.handler import event
from benchmarks.invoke import HANDLERS, SETTINGS
from benchmarks.measure import ROOT, Options, Result, ratio, rounds, seconds
from tests.runtime import Runtime

SCRIPT: Final = """
import time
begun = time.perf_counter()
import importlib, os
module = importlib.import_module(os.environ["MEASURED"])
imported = time.perf_counter() - begun

def handler(event, context):
    begun = time.perf_counter()
    module.handler(event, context)
    print("TAKEN", imported + time.perf_counter() - begun, flush=True)
"""


def run(options: Options, _corpora: Corpora) -> Iterator[Result]:
    """Measure."""
    (options.work / "measured.py").write_text(SCRIPT)
    second = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 60))
    given = event(
        [
            {
                "eventTime": second,
                "eventName": f"N{at % 20}",
                "awsRegion": "us-east-1",
                "eventSource": "ec2.amazonaws.com",
                "eventID": f"{at}",
            }
            for at in range(100)
        ]
    )
    body = json.dumps(given).encode()
    found: dict[str, dict[str, list[float]]] = {"whole": {}, "code": {}}
    with stub.running() as environ:

        def start(who: str) -> Callable[[], float]:
            own = {
                **environ,
                **SETTINGS.get(who, {}),
                "MEASURED": HANDLERS[who],
                "PYTHONPATH": f"{options.work}:{ROOT}:{ROOT / 'src'}",
            }

            def once() -> float:
                with Runtime("measured.handler", own) as runtime:
                    begun = time.perf_counter()
                    outcome = runtime.invoke(body)
                    taken = time.perf_counter() - begun
                if outcome.kind != "response":
                    raise RuntimeError(f"{who}: {outcome}")
                _, _, inside = outcome.logs.partition("TAKEN ")
                found["code"].setdefault(who, []).append(float(inside.split()[0]))
                return taken

            return once

        n = max(options.rounds, 5)
        found["whole"] = rounds(n, {who: start(who) for who in HANDLERS})
    for what, most in (("whole", None), ("code", 1 / 3)):
        # As `rounds` does, the first of each is left out.
        taken = found[what] if what == "whole" else {who: t[1:] for who, t in found[what].items()}
        for who, title in (("ours", ""), ("ledger", " with the ledger")):
            yield Result(
                f"cold start to first publish{title}, {what}",
                f"100 events, Python {sys.version_info[0]}.{sys.version_info[1]}",
                seconds(taken[who]),
                seconds(taken["port"]),
                1 / ratio(taken["port"], taken[who]),
                most,
                at_most=True,
            )
