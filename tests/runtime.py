"""
What surrounds a Lambda, played on this machine: its Runtime API, and the CloudWatch it writes to.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html
"""

import gzip
import json
import queue
import re
import select
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self, TypeAlias

Json: TypeAlias = Any
"""What `json` reads and writes."""

ASCII = re.compile(r"[ -~]*[!-~][ -~]*")


class Server(ThreadingHTTPServer):
    """A server on the loopback interface; its threads end with the test."""

    daemon_threads = True
    stopping: threading.Event

    def __init__(self, handler: type[BaseHTTPRequestHandler], port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), handler)
        self.stopping = threading.Event()

    def handle_error(self, *_: object) -> None:
        """A client that goes away is no failure here."""

    @contextmanager
    def running(self) -> Iterator[Self]:
        """Serve until the block ends."""
        thread = threading.Thread(target=self.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield self
        finally:
            self.stopping.set()
            self.shutdown()
            self.server_close()
            thread.join()


class Handler(BaseHTTPRequestHandler):
    """Reads requests and answers them."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer goes out in one packet

    def log_message(self, *_: object) -> None:
        """Keep the tests' output clean."""

    def read(self) -> bytes:
        """Read the body, in chunks or of a length."""
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Answer; an underscore in a header's name stands for a hyphen."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def reset(self) -> None:
        """Reset the connection instead of an answer."""
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close_connection = True

    def gone(self) -> bool:
        """Say whether the client has gone away."""
        with suppress(BlockingIOError):
            try:
                return not self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
            except ConnectionError:
                return True
        return False


# --- CloudWatch ---------------------------------------------------------------------------------


class Fault(NamedTuple):
    """An error as CloudWatch words it: its name in JSON, in the query protocol, and its status."""

    name: str
    query: str
    status: int = 400
    message: str = "as the test wants it"


THROTTLED = Fault("ThrottlingException", "Throttling", 400, "Rate exceeded")
FAILED = Fault("InternalServiceFault", "InternalServiceError", 500)
UNAVAILABLE = Fault("ServiceUnavailableException", "ServiceUnavailable", 503)
DENIED = Fault("AccessDeniedException", "AccessDenied", 403, "not authorized to perform")
INVALID = Fault("InvalidParameterValueException", "InvalidParameterValue")
MISSING = Fault("MissingRequiredParameterException", "MissingParameter")
COMBINATION = Fault("InvalidParameterCombinationException", "InvalidParameterCombination")
VALIDATION = Fault("ValidationException", "ValidationError")
TOO_LARGE = Fault("RequestEntityTooLargeException", "RequestEntityTooLarge", 413)

RESET = "the connection is reset before anything is taken"
LOST = "the batch is taken, and the connection reset instead of an answer"
LATE = "the batch is taken, and no answer comes while the client waits"
WEB_PAGE = "a proxy's page of HTML"
OK = "a batch is taken as usual"

Answer: TypeAlias = Fault | str


class CloudWatch(Server):
    """
    Takes PutMetricData as AWS does, or as *answers* say, one a request, before that.

    *taken* are the datums of the batches that were taken, in their order. *alarms* are what
    DescribeAlarms gives; only PutMetricData counts among *requests*. *bad* finds fault with a
    datum, and so with its batch; *spelling* is ``query`` or ``json``, of the errors' codes.
    """

    def __init__(self, now: Callable[[], float] = time.time, port: int = 0) -> None:
        super().__init__(_PutMetricData, port)
        self.now = now
        self.answers: list[Answer] = []
        self.always: Answer = OK
        self.bad: Callable[[Json], Fault | None] = lambda _: None
        self.spelling = "query"
        self.taken: list[Json] = []
        self.batches: list[Json] = []
        self.alarms: list[Json] = []
        self.requests = 0
        self.peers: set[int] = set()
        self.keys: list[str] = []
        self.sizes: list[tuple[int, int]] = []  # as sent, and without compression

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"

    def values(self) -> dict[tuple[str, ...], Counter[int]]:
        """How often each value came, for each namespace, name, dimensions' values and minute."""
        found: dict[tuple[str, ...], Counter[int]] = {}
        for batch in self.batches:
            for datum in batch["MetricData"]:
                where = (batch["Namespace"], datum["MetricName"])
                dimensions = (dimension["Value"] for dimension in datum["Dimensions"])
                counts = found.setdefault((*where, *dimensions, str(datum["Timestamp"])), Counter())
                counts.update(dict(zip(datum["Values"], datum["Counts"], strict=True)))
        return found

    def names(self) -> list[str]:
        """The names of the data taken."""
        return [datum["MetricName"] for datum in self.taken]

    def calls(self) -> int:
        """The sum over all metrics."""
        return sum(v * n for counts in self.values().values() for v, n in counts.items())

    def fault(self, body: bytes) -> Fault | None:
        """Find what AWS would refuse in the JSON of a request."""
        return faulty(body, self.now(), self.bad)


class _PutMetricData(Handler):
    server: CloudWatch

    def do_POST(self) -> None:
        """Take a batch, or not."""
        cloudwatch = self.server
        sent = self.read()
        cloudwatch.requests += 1
        cloudwatch.peers.add(self.client_address[1])
        if self.headers["X-Amz-Target"] == "GraniteServiceVersion20100801.DescribeAlarms":
            cloudwatch.requests -= 1
            self.answer(200, json.dumps({"MetricAlarms": cloudwatch.alarms}).encode())
            return
        assert self.headers["X-Amz-Target"] == "GraniteServiceVersion20100801.PutMetricData"
        assert self.headers["Content-Type"] == "application/x-amz-json-1.0"
        kind, _, key = self.headers["Authorization"].partition(" Credential=")
        assert kind == "AWS4-HMAC-SHA256"
        cloudwatch.keys.append(key.partition("/")[0])
        body = gzip.decompress(sent) if self.headers["Content-Encoding"] == "gzip" else sent
        cloudwatch.sizes.append((len(sent), len(body)))
        answer = cloudwatch.answers.pop(0) if cloudwatch.answers else cloudwatch.always
        if answer == WEB_PAGE:
            self.answer(502, b"<html>Bad Gateway</html>", Content_Type="text/html")
            return
        fault = answer if isinstance(answer, Fault) else cloudwatch.fault(body)
        if fault:
            self.refuse(fault)
            return
        if answer != RESET:
            cloudwatch.batches.append(json.loads(body))
            cloudwatch.taken += cloudwatch.batches[-1]["MetricData"]
        if answer == LATE:
            cloudwatch.stopping.wait(2)
        if answer == OK:
            self.answer(200, b"{}", x_amzn_RequestId="r-1")
        else:
            self.reset()

    def refuse(self, fault: Fault) -> None:
        """Answer with *fault*; the query protocol's code only where it is asked for."""
        headers = {}
        if self.server.spelling == "query" and self.headers["X-Amzn-Query-Mode"] == "true":
            headers["x_amzn_query_error"] = f"{fault.query};Sender"
        name = f"com.amazonaws.cloudwatch.v2010_08_01#{fault.name}"
        body = json.dumps({"__type": name, "message": fault.message}).encode()
        self.answer(fault.status, body, Content_Type="application/x-amz-json-1.0", **headers)


def faulty(
    body: bytes, now: float, bad: Callable[[Json], Fault | None] = lambda _: None
) -> Fault | None:
    """Find what AWS would refuse at *now* in the JSON of a request; *bad* finds more in a datum."""
    batch = json.loads(body)
    data = batch["MetricData"]
    if len(body) > 1_000_000:
        return TOO_LARGE
    namespace = batch["Namespace"]
    if not (1 <= len(namespace) <= 255 and namespace[0] != ":") or namespace[:4] == "AWS/":
        return INVALID._replace(message="The value for parameter Namespace is invalid.")
    if not data:
        return MISSING._replace(message="The parameter MetricData is required.")
    if len(data) > 1_000:
        return VALIDATION._replace(
            message="The collection MetricData must not have a size greater than 1000."
        )
    for number, datum in enumerate(data, 1):
        if fault := bad(datum) or _faulty(datum, now, f"MetricData.member.{number}"):
            return fault
    return None


def _faulty(datum: Json, now: float, where: str) -> Fault | None:
    age = now - datum["Timestamp"]
    dimensions = datum["Dimensions"]
    good = {
        "MetricName": _fits(datum["MetricName"], 255),
        "Dimensions": len(dimensions) <= 30
        and all(_fits(d["Name"], 255) and d["Name"][0] != ":" for d in dimensions)
        and all(_fits(d["Value"], 1_024) for d in dimensions),
        "Timestamp": -7_200 <= age <= 14 * 86_400,
        "Values": 1 <= len(set(datum["Values"])) == len(datum["Values"]) <= 150,
        "Counts": len(datum["Counts"]) == len(datum["Values"]) and min(datum["Counts"]) > 0,
        "Unit": datum.keys() == {"MetricName", "Dimensions", "Timestamp", "Values", "Counts"},
    }
    for name, fine in good.items():
        if not fine:
            text = f"The value {datum.get(name)!r} for parameter {where}.{name} is invalid."
            return INVALID._replace(message=text)
    return None


def _fits(text: str, length: int) -> bool:
    return 1 <= len(text) <= length and bool(ASCII.fullmatch(text))


# --- the Runtime API ----------------------------------------------------------------------------


class Outcome(NamedTuple):
    """
    What came of an invocation.

    *kind* is ``response``, ``error`` (the handler raised), ``init`` (it could not be imported),
    ``timeout`` or ``exit`` (the process ended); *body* is the JSON that was given back, or None.
    *cold* says that the process was started for it; *logs* is what it wrote meanwhile.
    """

    kind: str
    body: Json
    logs: str
    cold: bool

    @property
    def lines(self) -> list[Json]:
        """The lines of the log that are JSON objects."""
        return [json.loads(line) for line in self.logs.split("\n") if line.startswith("{")]


def request_id(number: int) -> str:
    """Make the id that an invocation has in the function's log."""
    return f"00000000-0000-0000-0000-{number:012}"


class Runtime:
    """
    Runs a *handler* under AWS's own runtime client, in one process that is kept warm.

    The process sees *environ* and what Lambda sets, nothing of ours; it is killed at *timeout*,
    in seconds, and begun anew after that. Not for two threads.
    """

    def __init__(
        self, handler: str, environ: Mapping[str, str], *, timeout: float = 20, folder: str = "/"
    ) -> None:
        self._command = [sys.executable, "-m", "awslambdaric", handler]
        self._environ = dict(environ)
        self._timeout = timeout
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._pump: threading.Thread | None = None
        self._log = bytearray()
        self._reading = threading.Lock()
        self.asked = threading.Event()
        self._server = Server(_RuntimeApi)
        self.events: queue.Queue[tuple[str, bytes, int]] = queue.Queue()
        self.outcomes: queue.Queue[tuple[str, str, bytes]] = queue.Queue()
        _RuntimeApi.hosts[self._server.server_port] = self

    def __enter__(self) -> Self:
        self._running = self._server.running()
        self._running.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        self._running.__exit__(None, None, None)
        del _RuntimeApi.hosts[self._server.server_port]

    def invoke(
        self, event: Json, number: int = 1, *, until: Callable[[str], bool] | None = None
    ) -> Outcome:
        """
        Invoke the function, starting it where it does not run; *number* makes the request id.

        Its time is over at its timeout, or as soon as *until* says so of what it has written.
        """
        self._log.clear()
        cold = self._process is None
        process = self._process or self._start()
        request = request_id(number)
        deadline = time.time() + self._timeout
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        self.events.put((request, body, int(deadline * 1_000)))
        kind, given = "timeout", b"null"
        while time.time() < deadline:
            with suppress(queue.Empty):
                said, asked, answer = self.outcomes.get(timeout=0.02)
                if asked in {request, "init"}:  # and not the last word of one that was too late
                    kind, given = said, answer
                    break
            if process.poll() is not None:
                kind = "exit"
                break
            if until and until(self._so_far()):
                break
        if kind == "init":
            process.wait(10)
        if kind in {"init", "exit", "timeout"}:
            self._stop()
        return Outcome(kind, json.loads(given), self._written(process), cold)

    def start(self) -> None:
        """Start the process unless it runs, and wait until it asks for an event, or has ended."""
        process = self._process or self._start()
        while not self.asked.wait(0.02) and process.poll() is None:
            pass

    def kill(self) -> None:
        """End the process at once, from any thread: what runs in it is not finished."""
        if self._process:
            self._process.kill()

    def _written(self, process: subprocess.Popen[bytes]) -> str:
        """What the process has written until now."""
        while process.stdout and not process.stdout.closed:
            if not select.select([process.stdout], [], [], 0)[0]:
                break
            time.sleep(0.001)  # the pump is at it
        return self._so_far()

    def _so_far(self) -> str:
        with self._reading:
            return self._log.decode()

    def _start(self) -> subprocess.Popen[bytes]:
        environ = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self._server.server_port}",
            "AWS_LAMBDA_FUNCTION_NAME": "tracker",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
            "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/tracker",
            "AWS_LAMBDA_LOG_STREAM_NAME": "2026/11/23/[$LATEST]0",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "123456789012",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_SESSION_TOKEN": "token",
            "LAMBDA_TASK_ROOT": self._folder,
            **self._environ,
        }
        self.asked.clear()
        process = subprocess.Popen(
            self._command,
            cwd=self._folder,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
        )
        self._pump = threading.Thread(target=self._read, args=(process,))
        self._pump.start()
        self._process = process
        return process

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout
        piece = b"-"
        while piece:
            select.select([process.stdout], [], [])
            with self._reading:
                piece = process.stdout.read(65_536)
                self._log += piece

    def _stop(self) -> None:
        if self._process and self._pump and self._process.stdout:
            self._process.kill()
            self._process.wait()
            self._pump.join()
            self._process.stdout.close()
        self._process = None
        while not self.events.empty():
            self.events.get()


class _RuntimeApi(Handler):
    hosts: dict[int, Runtime] = {}  # noqa: RUF012 - one for all
    server: Server

    def do_GET(self) -> None:
        """Hand out the next event, once there is one."""
        host = self.hosts[self.server.server_port]
        host.asked.set()
        while not self.server.stopping.is_set():
            with suppress(queue.Empty):
                request, body, deadline = host.events.get(timeout=0.02)
                self.answer(
                    200,
                    body,
                    Content_Type="application/json",
                    Lambda_Runtime_Aws_Request_Id=request,
                    Lambda_Runtime_Deadline_Ms=str(deadline),
                    Lambda_Runtime_Invoked_Function_Arn=(
                        "arn:aws:lambda:us-east-1:111122223333:function:tracker"
                    ),
                )
                return
            if self.gone():  # its process has ended: it must not take another's event
                self.close_connection = True
                return

    def do_POST(self) -> None:
        """Take what became of it."""
        body = self.read()
        *_, request, kind = self.path.split("/")
        kind = "init" if request == "init" else kind
        self.hosts[self.server.server_port].outcomes.put((kind, request, body))
        self.answer(202, b'{"status":"OK"}', Content_Type="application/json")
