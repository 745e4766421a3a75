"""What stands between the function and AWS: it passes requests on, and does what goes wrong."""

import gzip
import itertools
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from enum import StrEnum
from http.client import HTTPConnection
from typing import NamedTuple, TypeAlias
from urllib.parse import urlsplit

from tests.runtime import Fault, Handler, Server, faulty

PATIENCE = 30  # seconds, of AWS's answer


class Kind(StrEnum):
    """What goes wrong with a request: *done* or not is what AWS knows of it, whatever is said."""

    THROTTLED = "throttled"
    """Refused for its rate."""
    FAILED = "500"
    """Not done; answered with 500."""
    FAILED_DONE = "500, done"
    """Done, and answered with 500."""
    RESET = "reset"
    """Not done; the connection is reset."""
    RESET_DONE = "reset, done"
    """Done; the connection is reset instead of an answer."""
    SILENT = "silent"
    """Not done; no answer while the client waits."""
    SILENT_DONE = "silent, done"
    """Done; no answer while the client waits."""
    SILENT_LATER = "silent, done later"
    """No answer while the client waits; done when it has given up."""
    KILLED = "killed"
    """Not done; the client dies."""
    KILLED_DONE = "killed, done"
    """Done; the client dies before the answer."""


CLOUDWATCH, DYNAMODB = "cloudwatch.v2010_08_01", "dynamodb.v20120810"
FAULTS = {
    ("throttle", CLOUDWATCH): Fault("ThrottlingException", "Throttling", 400, "Rate exceeded"),
    ("throttle", DYNAMODB): Fault("ProvisionedThroughputExceededException", "", 400, "Too fast"),
    ("fail", CLOUDWATCH): Fault("InternalServiceFault", "InternalServiceError", 500),
    ("fail", DYNAMODB): Fault("InternalServerError", "", 500),
}
ACTS: dict[Kind | None, tuple[str, ...]] = {
    None: ("ask", "give"),
    Kind.THROTTLED: ("throttle",),
    Kind.FAILED: ("fail",),
    Kind.FAILED_DONE: ("ask", "fail"),
    Kind.RESET: ("reset",),
    Kind.RESET_DONE: ("ask", "reset"),
    Kind.SILENT: ("wait",),
    Kind.SILENT_DONE: ("ask", "wait"),
    Kind.SILENT_LATER: ("wait", "ask"),
    Kind.KILLED: ("kill", "reset"),
    Kind.KILLED_DONE: ("ask", "kill", "reset"),
}
HOPPING = frozenset({"connection", "content-length", "date", "server", "transfer-encoding"})
"""Headers that are of one connection, or are made for each."""


class Request(NamedTuple):
    """
    A request that came, the *number*th of its *step* in its *run*.

    *run* is what the client was doing, *order* goes up over all proxies of a journal. *status* is
    what AWS answered, 0 where it was not asked; *heard* says that the client was given that, and
    *killed* that it was killed.
    """

    order: int
    run: int
    step: str
    number: int
    body: bytes
    kind: Kind | None
    status: int = 0
    heard: bool = False
    killed: bool = False

    @property
    def done(self) -> bool:
        """Whether AWS has done it."""
        return 200 <= self.status < 300


class Answer(NamedTuple):
    """What AWS says."""

    status: int
    body: bytes
    headers: Mapping[str, str]


NONE = Answer(0, b"", {})


def refusal(fault: Fault) -> Answer:
    """Word *fault* as CloudWatch does, or as DynamoDB, which has no query protocol."""
    service = CLOUDWATCH if fault.query else DYNAMODB
    said = {"__type": f"com.amazonaws.{service}#{fault.name}", "message": fault.message}
    query = {"x-amzn-query-error": f"{fault.query};Sender"} if fault.query else {}
    headers = {"Content-Type": "application/x-amz-json-1.0", **query}
    return Answer(fault.status, json.dumps(said).encode(), headers)


Plan: TypeAlias = Callable[[str, int], Kind | None]
"""What goes wrong with the request that is the nth of its step in the run, from 1 on."""


def step(operation: str, body: bytes) -> str:
    """Say what the function does with a request: the ledger's updates are told apart."""
    if operation == "PutMetricData":
        return "send"
    if operation == "UpdateItem":
        values = json.loads(body)["ExpressionAttributeValues"].keys()
        marks = {":until": "claim", ":part": "mark", ":metrics": "admit"}
        return next((marks[each] for each in marks if each in values), "give back")
    return operation


class Journal:
    """All requests through some proxies."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._requests: dict[int, Request] = {}

    @property
    def requests(self) -> list[Request]:
        """The requests, in the order in which they came."""
        return [self._requests[order] for order in sorted(self._requests)]

    def number(self) -> int:
        """Give the next request its place."""
        return next(self._numbers)

    def note(self, request: Request) -> None:
        """Keep what has become of *request*."""
        self._requests[request.order] = request


class Proxy(Server):
    """
    Passes what one client asks on to *aws*, but for what goes wrong; notes it all in *journal*.

    What PutMetricData does not take is refused here, as the local AWS takes everything. It ends
    when all requests have ended: none may be done while somebody looks at what was done.
    """

    daemon_threads = False

    def __init__(self, aws: str, journal: Journal) -> None:
        super().__init__(_Passing)
        self.aws = urlsplit(aws).netloc
        self.journal = journal
        self.kill: Callable[[], None] = lambda: None
        self.run = 0
        self.plan: Plan = lambda *_: None
        self.numbers: Counter[str] = Counter()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"

    def begin(self, run: int, plan: Plan) -> None:
        """Number requests anew: those of *run*, with which goes wrong what *plan* says."""
        self.run, self.plan = run, plan
        self.numbers = Counter()


class _Passing(Handler):
    server: Proxy

    def do_POST(self) -> None:  # noqa: N802 - a name of http.server
        """Pass a request on, or not, and its answer, or not."""
        proxy = self.server
        sent = self.read()
        body = gzip.decompress(sent) if self.headers["Content-Encoding"] == "gzip" else sent
        target = self.headers.get("X-Amz-Target", "")
        done = step(target.rpartition(".")[2] or self.command, body)
        proxy.numbers[done] += 1
        number = proxy.numbers[done]
        kind = proxy.plan(done, number)
        request = Request(proxy.journal.number(), proxy.run, done, number, body, kind)
        service = DYNAMODB if target.startswith("DynamoDB") else CLOUDWATCH
        proxy.journal.note(request)
        answer = NONE
        for act in ACTS[kind]:
            match act:
                case "ask":
                    answer = self.ask(sent, request)
                    request = request._replace(status=answer.status)
                case "give":
                    request = request._replace(heard=not self.gone())
                    self.give(answer)
                case "throttle" | "fail":
                    self.give(refusal(FAULTS[act, service]))
                case "wait":
                    self.wait()
                case "kill":
                    if not self.gone():  # it does something else by now
                        proxy.kill()
                        request = request._replace(killed=True)
                case "reset":
                    self.reset()
            proxy.journal.note(request)

    do_DELETE = do_GET = do_HEAD = do_PUT = do_POST

    def ask(self, sent: bytes, request: Request) -> Answer:
        """Let AWS do it, unless it would refuse to."""
        fault = None
        if request.step == "send":
            fault = faulty(request.body, time.time())
        if fault:
            return refusal(fault)
        aws = HTTPConnection(self.server.aws, timeout=PATIENCE)
        try:
            kept = {k: v for k, v in self.headers.items() if k.lower() not in HOPPING}
            aws.request(self.command, self.path, sent, kept)
            answer = aws.getresponse()
            headers = {k: v for k, v in answer.getheaders() if k.lower() not in HOPPING}
            return Answer(answer.status, answer.read(), headers)
        finally:
            aws.close()

    def give(self, answer: Answer) -> None:
        """Give the client an answer."""
        self.answer(answer.status, answer.body, **answer.headers)

    def wait(self) -> None:
        """Wait until the client has given up."""
        while not (self.gone() or self.server.stopping.wait(0.02)):
            pass
        self.close_connection = True
