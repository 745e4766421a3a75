"""One signed POST, against real servers on the loopback interface and against botocore."""

import gzip
import json
import os
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import ANY

import boto3
import pytest
from botocore import session as botocore_session
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials as BotoCredentials
from botocore.endpoint_provider import EndpointProvider
from botocore.loaders import Loader
from hypothesis import given
from hypothesis import strategies as st

from apitracker.errors import ServiceError, SettingsError
from apitracker.tracker import signing
from apitracker.tracker.signing import (
    CLOUDWATCH,
    DYNAMODB,
    Connection,
    Credentials,
    Response,
    Service,
    TransportError,
)

KEYS = Credentials("123456789012", "secret", "token")
ENVIRON = {"AWS_ACCESS_KEY_ID": "123456789012", "AWS_SECRET_ACCESS_KEY": "secret"}
BOTO_NAMES = {CLOUDWATCH: "cloudwatch", DYNAMODB: "dynamodb"}
PARTITIONS = Loader().load_data("partitions")
# Names such as aws-global are no regions: nothing can be deployed there.
REGIONS = [
    region
    for partition in PARTITIONS["partitions"]
    for region in partition["regions"]
    if not region.endswith("-global")
]

Respond = Callable[[BaseHTTPRequestHandler], None]


class Request(NamedTuple):
    """A request as the server received it; *peer* tells one TCP connection from another."""

    peer: int
    path: str
    headers: dict[str, str]
    body: bytes


class Server(ThreadingHTTPServer):
    """A server that keeps what it received and answers as it is told to."""

    daemon_threads = True

    def __init__(self, respond: Respond, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.respond = respond
        self.tls = tls
        self.received: list[Request] = []
        self.stopping = threading.Event()
        self.closed = threading.Event()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.server_port}"

    def finish_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Shake hands in the connection's own thread; a client that declines is no failure."""
        if self.tls:
            try:
                request = self.tls.wrap_socket(request, server_side=True)
            except OSError:
                return
        with request:
            super().finish_request(request, client_address)
        self.closed.set()


class Handler(BaseHTTPRequestHandler):
    """Reads a request whole, keeps it and hands over to the test."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        """Take a request in, then do as the test says."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.received.append(Request(self.client_address[1], self.path, headers, body))
        self.server.respond(self)

    def log_message(self, *_: object) -> None:
        """Keep the tests' output clean."""


@contextmanager
def serving(respond: Respond, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """Serve until the block ends; then no thread and no socket is left."""
    server = Server(respond, tls)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.stopping.set()
        server.shutdown()
        server.server_close()
        thread.join()


def answer(
    status: int = 200, body: bytes = b"{}", headers: dict[str, str] | None = None
) -> Respond:
    """Make a server that answers each request alike."""

    def respond(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in (headers or {}).items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return respond


def echo(handler: Any) -> None:  # noqa: ANN401 - a handler whose server is ours
    """Answer with what was sent."""
    answer(body=handler.server.received[-1].body)(handler)


def reset(handler: BaseHTTPRequestHandler) -> None:
    """Break the connection instead of answering: TCP's RST, not an orderly end."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.close_connection = True


def connection(url: str, service: Service = CLOUDWATCH, **more: Any) -> Connection:  # noqa: ANN401
    """Connect to *url* with dummy keys."""
    return Connection(service, "us-east-1", url, **{"credentials": lambda: KEYS, **more})


def soon(seconds: float = 10) -> float:
    """Give a deadline that a working test does not come near."""
    return time.time() + seconds


def failure(c: Connection, match: str, *, body: bytes = b"{}", seconds: float = 10) -> bool:
    """Post what must fail within *seconds*, for a reason as in *match*; say if it is in doubt."""
    start = time.monotonic()
    with pytest.raises(TransportError, match=match) as caught:
        c.post("PutMetricData", body, deadline=soon(seconds))
    # Never long after the deadline; the rest is for a machine that is busy otherwise.
    assert time.monotonic() - start < max(seconds, 0) + 2
    return caught.value.in_doubt


@pytest.fixture(scope="module", autouse=True)
def _no_aws_settings() -> Iterator[None]:
    """Keep this machine's AWS settings out of what boto3 does here."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        patch.setenv("AWS_CONFIG_FILE", os.devnull)
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        yield


@pytest.fixture
def free_port() -> int:
    """Find a port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class TestSign:
    """Signatures."""

    def test_example(self) -> None:
        """A signature is that of AWS's own test suite, case post-vanilla."""
        headers = signing.sign(
            {"Host": "example.amazonaws.com"},
            b"",
            service="service",
            region="us-east-1",
            credentials=Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            now=1_440_938_160.9,
        )

        assert headers == {
            "Host": "example.amazonaws.com",
            "X-Amz-Date": "20150830T123600Z",
            "Authorization": (
                "AWS4-HMAC-SHA256 "
                "Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
                "SignedHeaders=host;x-amz-date, "
                "Signature=5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"
            ),
        }

    @given(
        body=st.binary(max_size=300),
        region=st.sampled_from(REGIONS) | st.from_regex(r"[a-z0-9-]{1,20}", fullmatch=True),
        service=st.sampled_from(["monitoring", "dynamodb", "execute-api"]),
        keys=st.builds(
            Credentials,
            st.from_regex(r"[A-Z0-9]{12,20}", fullmatch=True),
            st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1),
            st.text(st.characters(min_codepoint=33, max_codepoint=126)),
        ),
        extra=st.dictionaries(
            st.from_regex(r"X-Own-[A-Za-z0-9-]{0,9}", fullmatch=True).map(str.title),
            st.text(st.characters(min_codepoint=32, max_codepoint=126)),
            max_size=5,
        ),
        now=st.floats(0, 4e9),
    )
    def test_signs_as_botocore_does(  # noqa: PLR0913 - one argument for each thing that varies
        self,
        *,
        body: bytes,
        region: str,
        service: str,
        keys: Credentials,
        extra: dict[str, str],
        now: float,
    ) -> None:
        """Whatever is signed, botocore's signer gives the same headers."""
        url = f"https://{service}.{region}.amazonaws.com/"
        headers = {"Host": f"{service}.{region}.amazonaws.com", **extra}

        ours = signing.sign(
            headers, body, service=service, region=region, credentials=keys, now=now
        )

        request = AWSRequest("POST", url, headers, body)
        signer = SigV4At(BotoCredentials(*keys[:2], keys.token or None), service, region, now)
        signer.add_auth(request)
        assert ours == dict(request.headers.items())


class SigV4At(SigV4Auth):  # type: ignore[misc]
    """botocore's signer, at a time of our choice: add_auth without its first two lines."""

    def __init__(self, credentials: BotoCredentials, service: str, region: str, now: float) -> None:
        super().__init__(credentials, service, region)
        self._now = now

    def add_auth(self, request: AWSRequest) -> None:
        """Sign *request* as of the time that was handed in."""
        moment = datetime.fromtimestamp(int(self._now), UTC)
        request.context["timestamp"] = moment.strftime("%Y%m%dT%H%M%SZ")
        self._modify_request_before_signing(request)
        text = self.string_to_sign(request, self.canonical_request(request))
        self._inject_signature_to_request(request, self.signature(text, request))


class TestCredentials:
    """Credentials from the environment."""

    def test_with_and_without_token(self) -> None:
        """The three names that Lambda sets are read; a user's keys have no token."""
        assert signing.credentials(ENVIRON) == ("123456789012", "secret", "")
        assert signing.credentials({**ENVIRON, "AWS_SESSION_TOKEN": "t"}).token == "t"

    @pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
    def test_absent(self, name: str) -> None:
        """Absent or empty keys are an error that names what to set."""
        with pytest.raises(ServiceError, match="set AWS_ACCESS_KEY_ID"):
            signing.credentials({**ENVIRON, name: ""})

    def test_odd(self) -> None:
        """A token that would break a header is refused, and not shown."""
        with pytest.raises(ServiceError, match="line break") as caught:
            signing.credentials({**ENVIRON, "AWS_SESSION_TOKEN": "hush\nX-Evil: 1"})

        assert "hush" not in str(caught.value)

    def test_repr_hides_secrets(self) -> None:
        """A representation shows who it is, never the secret or the token."""
        assert repr(Credentials("AKID", "hush", "hush")) == "Credentials('AKID')"


class TestEndpoint:
    """Where a service is."""

    @pytest.mark.parametrize(
        ("service", "region", "expected"),
        [
            (CLOUDWATCH, "us-east-1", "https://monitoring.us-east-1.amazonaws.com"),
            (CLOUDWATCH, "us-gov-west-1", "https://monitoring.us-gov-west-1.amazonaws.com"),
            (CLOUDWATCH, "cn-north-1", "https://monitoring.cn-north-1.amazonaws.com.cn"),
            (DYNAMODB, "eusc-de-east-1", "https://dynamodb.eusc-de-east-1.amazonaws.eu"),
            (DYNAMODB, "us-isob-east-1", "https://dynamodb.us-isob-east-1.sc2s.sgov.gov"),
        ],
    )
    def test_example(self, service: Service, region: str, expected: str) -> None:
        """Each partition has its own suffix."""
        assert signing.endpoint(service, region, {}) == expected

    @pytest.mark.parametrize("service", [CLOUDWATCH, DYNAMODB], ids=BOTO_NAMES.get)
    def test_every_region_of_every_partition(self, service: Service) -> None:
        """In all regions that botocore knows, its endpoint rules give the same address."""
        rules = Loader().load_service_model(BOTO_NAMES[service], "endpoint-rule-set-1")
        provider = EndpointProvider(rules, PARTITIONS)

        ours = {region: signing.endpoint(service, region, {}) for region in REGIONS}

        theirs = {
            region: provider.resolve_endpoint(Region=region, UseDualStack=False, UseFIPS=False).url
            for region in REGIONS
        }
        assert ours == theirs
        assert len({p["id"] for p in PARTITIONS["partitions"]}) >= 8
        assert len(REGIONS) >= 40

    @pytest.mark.parametrize("service", [CLOUDWATCH, DYNAMODB], ids=BOTO_NAMES.get)
    def test_as_botocore_describes_the_service(self, service: Service) -> None:
        """Prefix, target and protocol are those of botocore's service model."""
        model = botocore_session.get_session().get_service_model(BOTO_NAMES[service])

        assert model.service_id.upper() == service.id
        assert model.endpoint_prefix == model.signing_name == service.prefix
        assert model.metadata["targetPrefix"] == service.target
        assert model.metadata["jsonVersion"] == "1.0"
        assert ("awsQueryCompatible" in model.metadata) is service.query

    @pytest.mark.parametrize("service", [CLOUDWATCH, DYNAMODB], ids=BOTO_NAMES.get)
    @pytest.mark.parametrize(
        "environ",
        [
            {"AWS_ENDPOINT_URL": "http://localhost:4566"},
            {"AWS_ENDPOINT_URL": "http://a", "AWS_ENDPOINT_URL_CLOUDWATCH": "https://b:8443"},
            {"AWS_ENDPOINT_URL_DYNAMODB": "http://[::1]:8000/"},
            {"AWS_ENDPOINT_URL": "", "AWS_ENDPOINT_URL_DYNAMODB": ""},
            {"AWS_ENDPOINT_URL": "http://a", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"},
        ],
        ids=",".join,
    )
    def test_configured_as_boto3_would(
        self, service: Service, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A configured address is taken where boto3 takes it, the service's own first."""
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        client = boto3.client(
            BOTO_NAMES[service],
            region_name="eu-west-1",
            aws_access_key_id="a",
            aws_secret_access_key="b",
        )

        assert signing.endpoint(service, "eu-west-1", environ) == client.meta.endpoint_url

    @pytest.mark.parametrize(
        "url",
        [
            "localhost:4566",
            "ftp://localhost",
            "http://",
            "http://localhost:port",
            "http://localhost/path",
            "http://localhost?query",
            "http://user:hush@localhost",
        ],
    )
    def test_no_address(self, url: str) -> None:
        """What is no scheme, host and port is refused by the name of its variable."""
        with pytest.raises(SettingsError, match=r"AWS_ENDPOINT_URL_DYNAMODB is .*localhost:4566"):
            signing.endpoint(DYNAMODB, "us-east-1", {"AWS_ENDPOINT_URL_DYNAMODB": url})

    @pytest.mark.parametrize("region", ["", "-", "us-east-1.evil.example/", "us_east_1", "é"])
    def test_no_region(self, region: str) -> None:
        """A region that would change the host name is refused."""
        with pytest.raises(SettingsError, match="is not an AWS region: set AWS_REGION"):
            signing.endpoint(CLOUDWATCH, region, {})


class TestPost:
    """Requests that are answered."""

    def test_what_is_sent(self) -> None:
        """A request is AWS JSON 1.0 to the root, and the body arrives as it is."""
        respond = answer(body=b'{"a": 1}', headers={"x-amzn-RequestId": "r-1"})
        with serving(respond) as server, connection(server.url) as c:
            response = c.post("PutMetricData", b"body", deadline=soon())

        assert response == Response(200, b'{"a": 1}', request_id="r-1")
        (request,) = server.received
        assert (request.path, request.body) == ("/", b"body")
        assert request.headers == {
            "host": f"127.0.0.1:{server.server_port}",
            "accept-encoding": "identity",
            "content-length": "4",
            "content-type": "application/x-amz-json-1.0",
            "x-amz-target": "GraniteServiceVersion20100801.PutMetricData",
            "x-amzn-query-mode": "true",
            "x-amz-date": ANY,
            "x-amz-security-token": "token",
            "authorization": ANY,
            "user-agent": "apitracker",
        }

    def test_to_dynamodb(self) -> None:
        """DynamoDB has its own target, and no older protocol to ask for."""
        with serving(answer()) as server, connection(server.url, DYNAMODB) as c:
            c.post("PutItem", b"{}", deadline=soon())
        (request,) = server.received

        assert request.headers["x-amz-target"] == "DynamoDB_20120810.PutItem"
        assert "/us-east-1/dynamodb/aws4_request" in request.headers["authorization"]
        assert "x-amzn-query-mode" not in request.headers

    @pytest.mark.parametrize("many", [1, 500], ids=["plain", "gzipped"])
    def test_as_boto3_sends_it(self, many: int) -> None:
        """boto3 sends the same headers and body for the same data, large bodies gzipped."""
        data = [{"MetricName": f"m{i}", "Value": 1.0} for i in range(many)]
        keys = {
            "aws_access_key_id": "123456789012",
            "aws_secret_access_key": "secret",
            "aws_session_token": "token",
        }
        with serving(answer()) as server:
            client = boto3.client(
                "cloudwatch",
                "us-east-1",
                endpoint_url=server.url,
                **keys,
            )
            client.put_metric_data(Namespace="n", MetricData=data)
            client.close()
            theirs = server.received.pop()
            with connection(server.url) as c:
                c.post("PutMetricData", theirs.body, deadline=soon(), gzipped=many > 1)
            ours = server.received.pop()

        compared = (
            "content-type",
            "content-encoding",
            "content-length",
            "host",
            "x-amz-target",
            "x-amz-security-token",
            "x-amzn-query-mode",
        )
        assert {k: ours.headers.get(k) for k in compared} == {
            k: theirs.headers.get(k) for k in compared
        }

    def test_signature_of_what_arrived(self) -> None:
        """Botocore signs the request, as the server received it, with the same signature."""
        with serving(answer()) as server, connection(server.url, now=lambda: 1.7e9) as c:
            c.post("PutMetricData", b"body", deadline=1.7e9 + 10)
        (request,) = server.received

        _, _, names = request.headers["authorization"].partition("SignedHeaders=")
        signed = {n: request.headers[n] for n in names.partition(",")[0].split(";")}
        again = AWSRequest("POST", f"{server.url}/", signed, request.body)
        SigV4At(BotoCredentials(*KEYS), "monitoring", "us-east-1", 1.7e9).add_auth(again)
        assert again.headers["Authorization"] == request.headers["authorization"]
        assert {"content-type", "host", "x-amz-security-token", "x-amz-target"} <= signed.keys()

    def test_gzip(self) -> None:
        """A compressed body is announced as such, and sent as it is."""
        body = gzip.compress(b"{}" * 1000)
        with serving(answer()) as server, connection(server.url) as c:
            c.post("PutMetricData", body, deadline=soon(), gzipped=True)

        assert server.received[0].headers["content-encoding"] == "gzip"
        assert server.received[0].body == body

    def test_kept_alive(self) -> None:
        """Two posts go over one TCP connection, each with its own answer."""
        with serving(echo) as server, connection(server.url) as c:
            answers = [c.post("PutMetricData", b, deadline=soon()).body for b in (b"1", b"2")]

        assert answers == [b"1", b"2"]
        assert len({r.peer for r in server.received}) == 1

    def test_a_large_body_and_answer(self) -> None:
        """A megabyte each way takes many steps and arrives whole."""
        body = bytes(range(256)) * 4096
        with serving(echo) as server, connection(server.url) as c:
            response = c.post("PutMetricData", body, deadline=soon())

        assert response.body == body

    @pytest.mark.parametrize("framing", ["close", "chunked", "http/1.0"])
    def test_other_framings(self, framing: str) -> None:
        """Answers that end with the connection, or come in chunks, are read whole too."""

        def respond(handler: BaseHTTPRequestHandler) -> None:
            if framing == "chunked":
                text = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
            elif framing == "close":
                text = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"
            else:
                text = b"HTTP/1.0 200 OK\r\n\r\n{}"
            handler.wfile.write(text)
            handler.close_connection = framing != "chunked"

        with serving(respond) as server, connection(server.url) as c:
            answers = [c.post("PutMetricData", b"{}", deadline=soon()).body for _ in range(2)]

        assert answers == [b"{}", b"{}"]
        assert len({r.peer for r in server.received}) == (1 if framing == "chunked" else 2)

    def test_new_credentials_are_used_at_once(self) -> None:
        """Credentials that change between two posts sign the second one."""
        environ = dict(ENVIRON)
        keys = partial(signing.credentials, environ)
        with serving(answer()) as server, connection(server.url, credentials=keys) as c:
            c.post("PutMetricData", b"{}", deadline=soon())
            environ.update(AWS_ACCESS_KEY_ID="999999999999", AWS_SESSION_TOKEN="new")
            c.post("PutMetricData", b"{}", deadline=soon())

        first, second = (r.headers for r in server.received)
        assert "Credential=123456789012/" in first["authorization"]
        assert "x-amz-security-token" not in first
        assert "Credential=999999999999/" in second["authorization"]
        assert second["x-amz-security-token"] == "new"


class TestErrorResponses:
    """Requests that are refused."""

    @pytest.mark.parametrize(
        ("headers", "body", "code", "message"),
        [
            (
                {},
                b'{"__type":"com.amazon.coral.availability#ThrottlingException","message":"slow"}',
                "ThrottlingException",
                "slow",
            ),
            (
                {},
                b'{"__type":"ResourceNotFoundException","Message":"x"}',
                "ResourceNotFoundException",
                "x",
            ),
            (
                {"x-amzn-errortype": "ValidationException:http://internal.amazon.com/coral/"},
                b"{}",
                "ValidationException",
                "Bad Request",
            ),
            (
                {"x-amzn-query-error": "InvalidParameterValue;Sender"},
                b'{"__type":"com.amazonaws.cloudwatch#InvalidParameterValueException"}',
                "InvalidParameterValue",
                "Bad Request",
            ),
            ({"x-amzn-query-error": ";"}, b'{"__type":"a#B"}', "B", "Bad Request"),
            ({}, b"<html>no</html>", "400", "Bad Request"),
            ({}, b"", "400", "Bad Request"),
            ({}, b"[1]", "400", "Bad Request"),
            ({}, b'{"__type":7,"message":["x"]}', "7", "['x']"),
            ({}, b"\xff\xfe", "400", "Bad Request"),
            ({}, b"[" * 100_000, "400", "Bad Request"),
        ],
    )
    def test_code_and_message(
        self, headers: dict[str, str], body: bytes, code: str, message: str
    ) -> None:
        """Code and message are found wherever AWS puts them; a refusal is no exception."""
        headers = {**headers, "x-amzn-RequestId": "r-2"}
        with serving(answer(400, body, headers)) as server, connection(server.url) as c:
            response = c.post("PutMetricData", b"{}", deadline=soon())

        assert response == Response(400, body, code, message, "r-2")

    @pytest.mark.parametrize(
        ("headers", "kind"),
        [
            ({}, "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException"),
            ({"x-amzn-query-error": "Throttling;Sender"}, "a.b#ThrottlingException"),
        ],
    )
    def test_as_boto3_names_it(self, headers: dict[str, str], kind: str) -> None:
        """boto3 gives the same code and message for the same answer."""
        body = json.dumps({"__type": kind, "message": "slow"}).encode()
        with serving(answer(400, body, headers)) as server:
            client = boto3.client(
                "cloudwatch",
                "us-east-1",
                endpoint_url=server.url,
                aws_access_key_id="a",
                aws_secret_access_key="b",
                config=Config(retries={"total_max_attempts": 1}),
            )
            with pytest.raises(client.exceptions.ClientError) as caught:
                client.put_metric_data(Namespace="n", MetricData=[])
            client.close()
            with connection(server.url) as c:
                response = c.post("PutMetricData", b"{}", deadline=soon())

        error = caught.value.response["Error"]
        assert (response.code, response.message) == (error["Code"], error["Message"])

    def test_server_error_keeps_the_connection(self) -> None:
        """After a 503 the next post goes over the same connection."""
        with serving(answer(503)) as server, connection(server.url) as c:
            statuses = [c.post("PutMetricData", b"{}", deadline=soon()).status for _ in range(2)]

        assert statuses == [503, 503]
        assert len({r.peer for r in server.received}) == 1


class TestTransport:
    """Requests that are not answered: certainly not processed, or in doubt."""

    def test_refused(self, free_port: int) -> None:
        """Where nobody listens, nothing was processed; the message says what and where."""
        with connection(f"http://127.0.0.1:{free_port}") as c:
            where = rf"^monitoring:PutMetricData at 127\.0\.0\.1:{free_port} was not sent: "
            assert failure(c, where + ".*refused") is False

    def test_no_such_name(self) -> None:
        """A host that cannot be found processed nothing."""
        with connection("http://no-such-host.invalid") as c:
            assert failure(c, "was not sent") is False

    def test_deadline_before_the_start(self) -> None:
        """After the deadline nothing is sent any more, not even on an open connection."""
        with serving(answer()) as server, connection(server.url) as c:
            assert failure(c, "not sent: the deadline has passed", seconds=-1) is False
            c.post("PutMetricData", b"sent", deadline=soon())
            assert failure(c, "not sent: the deadline has passed", seconds=-1) is False

        assert [r.body for r in server.received] == [b"sent"]

    def test_slow_answer(self) -> None:
        """An answer that is not there by the deadline leaves the request in doubt."""

        def respond(handler: Any) -> None:  # noqa: ANN401
            handler.server.stopping.wait(10)
            handler.close_connection = True

        with serving(respond) as server, connection(server.url) as c:
            start = time.monotonic()
            assert failure(c, "answer did not come: timed out", seconds=0.3) is True
            assert time.monotonic() - start > 0.25

    def test_dripping_answer(self) -> None:
        """A server that sends a byte now and then does not hold us past the deadline."""

        def respond(handler: Any) -> None:  # noqa: ANN401
            handler.close_connection = True
            with suppress(OSError):
                for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 1000:
                    if not handler.server.stopping.wait(0.05):
                        handler.wfile.write(bytes([byte]))

        with serving(respond) as server, connection(server.url) as c:
            assert failure(c, "answer did not come", seconds=0.4) is True

    def test_nobody_reads(self) -> None:
        """A body that cannot be handed over whole by the deadline was not processed."""
        with (
            socket.create_server(("127.0.0.1", 0)) as server,
            connection(f"http://127.0.0.1:{server.getsockname()[1]}") as c,
        ):
            assert failure(c, "not sent: timed out", body=bytes(20_000_000), seconds=0.3) is False

    def test_reset_after_the_request(self) -> None:
        """A connection that breaks once the request is there leaves it in doubt."""
        with serving(reset) as server, connection(server.url) as c:
            assert failure(c, "answer did not come: .*reset by peer") is True

        assert len(server.received) == 1

    @pytest.mark.parametrize(
        "text",
        [
            b"",
            b"nonsense\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        ],
        ids=["nothing", "nonsense", "short", "bad chunk"],
    )
    def test_broken_answer(self, text: bytes) -> None:
        """An answer that cannot be read whole leaves the request in doubt."""

        def respond(handler: BaseHTTPRequestHandler) -> None:
            handler.wfile.write(text)
            handler.close_connection = True

        with serving(respond) as server, connection(server.url) as c:
            assert failure(c, "answer did not come") is True

    def test_closed_while_idle(self) -> None:
        """A peer that closed in between is noticed: the next post takes a new connection."""

        def respond(handler: BaseHTTPRequestHandler) -> None:
            answer()(handler)
            handler.close_connection = True

        with serving(respond) as server, connection(server.url) as c:
            c.post("PutMetricData", b"{}", deadline=soon())
            assert server.closed.wait(5)
            response = c.post("PutMetricData", b"{}", deadline=soon())

        assert response.status == 200
        assert len({r.peer for r in server.received}) == 2

    @pytest.mark.parametrize(("idle", "connections"), [(11.9, 1), (12.1, 2)])
    def test_idle_for_too_long(self, idle: float, connections: int) -> None:
        """A connection idle for more than twelve seconds is not trusted."""
        clock = [1.7e9]
        with serving(answer()) as server, connection(server.url, now=lambda: clock[0]) as c:
            c.post("PutMetricData", b"{}", deadline=clock[0] + 10)
            clock[0] += idle
            c.post("PutMetricData", b"{}", deadline=clock[0] + 10)

        assert len({r.peer for r in server.received}) == connections

    @pytest.mark.parametrize("pause", [0, 0.3], ids=["before", "after"])
    def test_a_late_answer_is_nobody_elses(self, pause: float) -> None:
        """Before and after a late answer, the next post takes a new connection and its own."""

        def respond(handler: Any) -> None:  # noqa: ANN401
            if len(handler.server.received) == 2:
                handler.server.stopping.wait(0.4)
                handler.close_connection = True
                with suppress(OSError):
                    answer(body=b"late")(handler)
            else:
                answer(body=b"own")(handler)

        with serving(respond) as server, connection(server.url) as c:
            c.post("PutMetricData", b"{}", deadline=soon())
            assert failure(c, "answer did not come", seconds=0.2) is True
            time.sleep(pause)
            response = c.post("PutMetricData", b"{}", deadline=soon())

        assert response.body == b"own"

    def test_is_a_service_error(self) -> None:
        """Whoever catches our errors catches this one."""
        assert isinstance(TransportError("x", in_doubt=True), ServiceError)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a throw-away certificate for 127.0.0.1, with its key, in one file."""
    folder = tmp_path_factory.mktemp("tls")
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=apitracker-test "
        "-addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out cert.pem"
    )
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_bytes((folder / "cert.pem").read_bytes() + (folder / "key.pem").read_bytes())
    return both


@pytest.fixture
def tls_server(certificate: Path) -> Callable[[Respond], AbstractContextManager[Server]]:
    """Serve over TLS with the throw-away certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return lambda respond: serving(respond, context)


class TestTls:
    """Connections that are encrypted."""

    def test_kept_alive(
        self, tls_server: Callable[[Respond], AbstractContextManager[Server]], certificate: Path
    ) -> None:
        """With the CA known, posts go through, and over one connection."""
        known = ssl.create_default_context(cafile=str(certificate))
        respond = answer(body=b"x" * 100_000)
        with tls_server(respond) as server, connection(server.url, tls=lambda: known) as c:
            answers = [c.post("PutMetricData", b"{}", deadline=soon()) for _ in range(3)]

        assert {len(a.body) for a in answers} == {100_000}
        assert len({r.peer for r in server.received}) == 1

    def test_closed_while_idle(
        self, tls_server: Callable[[Respond], AbstractContextManager[Server]], certificate: Path
    ) -> None:
        """A TLS peer that closed in between is noticed too."""

        def respond(handler: BaseHTTPRequestHandler) -> None:
            answer()(handler)
            handler.close_connection = True

        known = ssl.create_default_context(cafile=str(certificate))
        with tls_server(respond) as server, connection(server.url, tls=lambda: known) as c:
            c.post("PutMetricData", b"{}", deadline=soon())
            assert server.closed.wait(5)
            c.post("PutMetricData", b"{}", deadline=soon())

        assert len({r.peer for r in server.received}) == 2

    def test_unknown_ca(
        self, tls_server: Callable[[Respond], AbstractContextManager[Server]]
    ) -> None:
        """By default a certificate that nobody vouches for is refused, and nothing is sent."""
        with tls_server(answer()) as server, connection(server.url) as c:
            assert failure(c, "not sent: .*CERTIFICATE_VERIFY_FAILED") is False

        assert server.received == []

    def test_another_host(
        self, tls_server: Callable[[Respond], AbstractContextManager[Server]], certificate: Path
    ) -> None:
        """A certificate for another name is refused, and nothing is sent."""
        known = ssl.create_default_context(cafile=str(certificate))
        with tls_server(answer()) as server:
            url = server.url.replace("127.0.0.1", "localhost")
            with connection(url, tls=lambda: known) as c:
                assert failure(c, "not sent: .*Hostname mismatch") is False

        assert server.received == []

    def test_no_handshake(self) -> None:
        """A server that accepts and then is silent is given up at the deadline, without doubt."""
        with (
            socket.create_server(("127.0.0.1", 0)) as server,
            connection(f"https://127.0.0.1:{server.getsockname()[1]}") as c,
        ):
            assert failure(c, "not sent", seconds=0.3) is False

    def test_default_verifies_and_is_made_once(self) -> None:
        """The default checks certificates and names; the CAs are read once in a process."""
        context = signing.default_tls()

        assert context.verify_mode == ssl.CERT_REQUIRED
        assert context.check_hostname is True
        assert signing.default_tls() is context


def test_cold_start_imports() -> None:
    """Importing, and posting, brings in nothing that is heavy."""
    code = """
import sys
from apitracker.tracker.signing import CLOUDWATCH, Connection, Credentials
url, keys = sys.argv[1], Credentials("123456789012", "secret")
with Connection(CLOUDWATCH, "us-east-1", url, credentials=lambda: keys) as connection:
    connection.post("PutMetricData", b"{}", deadline=4e9)
heavy = "boto3 botocore duckdb click asyncio urllib.request numpy encodings.idna requests urllib3"
print(*(name for name in heavy.split() if name in sys.modules))
"""
    with serving(answer()) as server:
        done = subprocess.run(
            [sys.executable, "-I", "-c", code, server.url],
            check=True,
            capture_output=True,
            text=True,
        )

    assert done.stdout.strip() == ""
    assert len(server.received) == 1
