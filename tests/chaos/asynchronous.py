"""
Lambda's asynchronous invocation, played on this machine: events wait, are tried, and tried again.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
"""

import heapq
import itertools
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import uuid4

from tests.chaos.proxy import Journal, Plan, Proxy
from tests.runtime import Outcome, Runtime, request_id

ATTEMPTS = 3
FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:tracker"
PATIENCE = 60  # seconds, for another worker to be free


class Delivery(NamedTuple):
    """
    An *event* on its way to the function; *number* tells deliveries apart, and is of no use to it.

    *request* makes the request id, which the attempts at one event share. Deliveries with the same
    *gate* arrive at the same moment.
    """

    number: int
    event: bytes
    request: int
    gate: threading.Barrier | None = None


class Invocation(NamedTuple):
    """What came of the *attempt*, from 1 on, at a delivery; *run* is its number in the journal."""

    run: int
    delivery: Delivery
    attempt: int
    outcome: Outcome

    @property
    def failed(self) -> bool:
        """Whether Lambda takes it for failed."""
        return self.outcome.kind != "response"


class _Waiting:
    """
    Deliveries by when they are due. A worker that takes one says when it is settled.

    *unhurried*, one that is tried again is due as soon as no worker is at any other: whoever held
    its log has ended by then, and nothing else has to pass.
    """

    def __init__(self, deliveries: Sequence[Delivery], *, unhurried: bool) -> None:
        self._due = [(0.0, number, each, 1) for number, each in enumerate(deliveries)]
        self._orders = itertools.count(len(deliveries))
        self._open = len(deliveries)
        self._taken = 0
        self._unhurried = unhurried
        self._changed = threading.Condition()

    def take(self) -> tuple[Delivery, int] | None:
        """Wait for a delivery that is due, and which attempt at it. None when all are settled."""
        with self._changed:
            while self._open:
                wait = self._due[0][0] - time.time() if self._due else None
                idle = self._unhurried and not self._taken
                if wait is not None and (wait <= 0 or idle):
                    self._taken += 1
                    _, _, delivery, attempt = heapq.heappop(self._due)
                    return delivery, attempt
                self._changed.wait(wait)
            return None

    def again(self, at: float, delivery: Delivery, attempt: int) -> None:
        """Let it be tried again, not before *at*."""
        with self._changed:
            heapq.heappush(self._due, (at, next(self._orders), delivery, attempt))
            self._taken -= 1
            self._changed.notify_all()

    def settle(self) -> None:
        """Say that one is done, or given up."""
        with self._changed:
            self._open -= 1
            self._taken -= 1
            self._changed.notify_all()

    def stop(self) -> None:
        """Let nobody take any more."""
        with self._changed:
            self._open = 0
            self._changed.notify_all()


def play(  # noqa: PLR0913 - what a function is, what it is given, and what surrounds it
    deliveries: Sequence[Delivery],
    handler: str,
    environ: Mapping[str, str],
    *,
    aws: str,
    journal: Journal,
    plan: Callable[[Delivery, int], Plan],
    workers: int,
    timeout: float,
    unhurried: bool,
) -> list[Invocation]:
    """
    Invoke *handler* with *deliveries*, *workers* at a time, and say what came of each attempt.

    *plan* says what goes wrong at an attempt. As in AWS, a delivery that failed is tried again
    when its *timeout*, in seconds, is over, and given up after three times; *unhurried*, it is
    tried again as soon as nothing else is.
    """
    waiting = _Waiting(deliveries, unhurried=unhurried)
    runs = itertools.count(1)
    invocations: list[Invocation] = []

    def invoke(proxy: Proxy, runtime: Runtime, delivery: Delivery, attempt: int) -> None:
        runtime.start()
        if delivery.gate and attempt == 1:
            delivery.gate.wait(PATIENCE)
        run = next(runs)
        proxy.begin(run, plan(delivery, attempt))
        begun = time.time()
        outcome = runtime.invoke(delivery.event, delivery.request)
        invocations.append(Invocation(run, delivery, attempt, outcome))
        if invocations[-1].failed and attempt < ATTEMPTS:
            waiting.again(begun + timeout, delivery, attempt + 1)
        else:
            waiting.settle()

    def work() -> None:
        with Proxy(aws, journal).running() as proxy:
            here = {**environ, "AWS_ENDPOINT_URL": proxy.url}
            with Runtime(handler, here, timeout=timeout) as runtime:
                proxy.kill = runtime.kill
                try:
                    while taken := waiting.take():
                        invoke(proxy, runtime, *taken)
                except BaseException:
                    waiting.stop()
                    raise

    with ThreadPoolExecutor(workers) as pool:
        for each in [pool.submit(work) for _ in range(workers)]:
            each.result()
    return sorted(invocations, key=lambda each: each.run)


def record(invocation: Invocation) -> tuple[str, bytes]:
    """Write down, as Lambda does in a bucket, an event that is given up: the key and the object."""
    now = datetime.now(UTC)
    delivery, outcome = invocation.delivery, invocation.outcome
    said = {
        "version": "1.0",
        "timestamp": now.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "requestContext": {
            "requestId": request_id(delivery.request),
            "functionArn": f"{FUNCTION}:$LATEST",
            "condition": "RetriesExhausted",
            "approximateInvokeCount": invocation.attempt,
        },
        "requestPayload": json.loads(delivery.event),
        "responseContext": {
            "statusCode": 200,
            "executedVersion": "$LATEST",
            "functionError": "Unhandled",
        },
        "responsePayload": outcome.body,
    }
    day, second = now.strftime("%Y/%m/%d"), now.strftime("%Y-%m-%dT%H.%M.%S")
    key = f"aws/lambda/async/{FUNCTION.rpartition(':')[2]}/{day}/{second}-{uuid4()}"
    return key, json.dumps(said).encode()
