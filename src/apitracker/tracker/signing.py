"""
One signed POST to an AWS JSON API, over one kept-alive connection.

For the Lambda's hot path, where botocore costs 25 µs a datum and 160 ms of every cold start: the
standard library only. One attempt, nothing is repeated here. `http.client` speaks HTTP; two things
that it lacks are added: a deadline over the whole request, and an answer to whether a request
that failed may have been processed.
"""

import hashlib
import hmac
import io
import json
import selectors
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from functools import cache
from http.client import HTTPConnection, HTTPException, HTTPMessage
from types import TracebackType
from typing import NamedTuple, Self
from urllib.parse import urlsplit

from apitracker.errors import ServiceError, SettingsError

# A connection idle for longer is not used again. Some AWS servers close one after 20 s, and a
# Lambda that was frozen meanwhile may not have been told (aws/aws-sdk-js-v3#1196): its next
# request would be lost, and in doubt. aiobotocore takes 12 s for the same reason.
IDLE = 12.0

# Seconds for one address of a host to accept, and as many for its handshake, so that a dead one
# leaves time for the next address or the next attempt. Nothing has been sent: nothing is in doubt.
CONNECT = 3.0

# What is not amazonaws.com, by the beginning of the region's name: botocore's partitions.json.
_SUFFIXES = {
    "cn-": "amazonaws.com.cn",
    "eusc-": "amazonaws.eu",
    "us-iso-": "c2s.ic.gov",
    "us-isob-": "sc2s.sgov.gov",
    "eu-isoe-": "cloud.adc-e.uk",
    "us-isof-": "csp.hci.ic.gov",
}

_PORTS = {"http": 80, "https": 443}


class TransportError(ServiceError):
    """
    A request to which no whole response came.

    *in_doubt* is False when it certainly was not processed, as the server never had all of it;
    True when it may have been.
    """


class Service(NamedTuple):
    """
    An API that speaks AWS JSON 1.0, as its model in botocore describes it.

    *id* ends ``AWS_ENDPOINT_URL_…``, *prefix* starts the host name and is in the signature,
    *target* starts ``X-Amz-Target``. With *query*, the service gives the error codes of its older
    query protocol when asked: those that its documentation and boto3 name.
    """

    id: str
    prefix: str
    target: str
    query: bool = False


CLOUDWATCH = Service("CLOUDWATCH", "monitoring", "GraniteServiceVersion20100801", query=True)
DYNAMODB = Service("DYNAMODB", "dynamodb", "DynamoDB_20120810")


class Credentials(NamedTuple):
    """The keys to sign with. *token* is empty for a user's long-lived keys."""

    access_key: str
    secret_key: str
    token: str = ""

    def __repr__(self) -> str:
        """Leave out the secrets: a representation ends up in logs."""
        return f"Credentials({self.access_key!r})"


class Response(NamedTuple):
    """
    The response of a service. A *status* below 300 is success.

    Otherwise *code* is the error's name without its namespace, or the status where none is given,
    and *message* the service's own words. AWS support asks for the *request_id*.
    """

    status: int
    body: bytes
    code: str = ""
    message: str = ""
    request_id: str = ""

    @property
    def ok(self) -> bool:
        """Whether the request succeeded."""
        return self.status < 300  # noqa: PLR2004 - HTTP's own bound of success


def credentials(environ: Mapping[str, str]) -> Credentials:
    """Read Lambda's credentials from *environ*. `ServiceError` if there are none, or odd ones."""
    found = Credentials(
        environ.get("AWS_ACCESS_KEY_ID", ""),
        environ.get("AWS_SECRET_ACCESS_KEY", ""),
        environ.get("AWS_SESSION_TOKEN", ""),
    )
    if not (found.access_key and found.secret_key):
        raise ServiceError(
            "no credentials for AWS: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    # http.client would refuse them too, with the token in its message.
    if not all(part.isascii() and part.isprintable() for part in found):
        raise ServiceError(
            "credentials for AWS hold a line break or a character that is not ASCII: "
            "set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN again"
        )
    return found


def endpoint(service: Service, region: str, environ: Mapping[str, str]) -> str:
    """
    Return the address of *service* in *region*: scheme, host and perhaps port, in any partition.

    ``AWS_ENDPOINT_URL_<service>`` and ``AWS_ENDPOINT_URL`` in *environ* come first, as in boto3.
    `SettingsError` if one of them is not such an address, or *region* is not a region.
    """
    if environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() != "true":
        for name in (f"AWS_ENDPOINT_URL_{service.id}", "AWS_ENDPOINT_URL"):
            if url := environ.get(name):
                _address(url, name)
                return url
    # The region becomes part of a host name: nothing else may come in with it.
    if not (region.isascii() and region.replace("-", "").isalnum()):
        raise SettingsError(
            f"{region!r} is not an AWS region: set AWS_REGION, to us-east-1 for example"
        )
    suffix = next((s for start, s in _SUFFIXES.items() if region.startswith(start)), None)
    return f"https://{service.prefix}.{region}.{suffix or 'amazonaws.com'}"


def _address(url: str, name: str) -> tuple[str, str, int]:
    """Split *url* into scheme, host and port. `SettingsError`, blaming *name*, if it is more."""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS[parts.scheme]
    except (ValueError, KeyError):
        parts, port = urlsplit(""), 0
    if not parts.hostname or "@" in parts.netloc or parts[2:] not in {("", "", ""), ("/", "", "")}:
        raise SettingsError(
            f"{name} is {url!r}: give scheme, host and port alone, as in http://localhost:4566"
        )
    return parts.scheme, parts.hostname, port


def sign(  # noqa: PLR0913 - the seven things a signature is made of
    headers: Mapping[str, str],
    body: bytes,
    *,
    service: str,
    region: str,
    credentials: Credentials,
    now: float,
) -> dict[str, str]:
    """
    Return *headers* and those that sign a POST of *body* to ``/``.

    AWS Signature Version 4, all headers signed; *headers* include the ``Host``, *now* is in
    seconds since 1970 UTC.
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    sent = {**headers, "X-Amz-Date": stamp}
    if credentials.token:
        sent["X-Amz-Security-Token"] = credentials.token

    lines = sorted((name.lower(), " ".join(value.split())) for name, value in sent.items())
    signed = ";".join(name for name, _ in lines)
    listed = "".join(f"{name}:{value}\n" for name, value in lines)
    request = f"POST\n/\n\n{listed}\n{signed}\n{hashlib.sha256(body).hexdigest()}"
    digest = hashlib.sha256(request.encode()).hexdigest()

    key = f"AWS4{credentials.secret_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}"
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    sent["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}, "
        f"SignedHeaders={signed}, Signature={signature}"
    )
    return sent


@cache
def default_tls() -> ssl.SSLContext:
    """Verify certificates and host names. Made once: reading the system's CAs takes 18 ms."""
    return ssl.create_default_context()


class Connection:
    """
    One AWS JSON API, over one connection that is opened when needed and kept alive.

    *url* is as from `endpoint`. *credentials* is asked at every request, so that new ones are
    used as soon as they are there. *now* gives seconds since 1970 UTC. Not for two threads.
    """

    def __init__(  # noqa: PLR0913 - all it needs from outside, handed over once
        self,
        service: Service,
        region: str,
        url: str,
        *,
        credentials: Callable[[], Credentials],
        now: Callable[[], float] = time.time,
        tls: Callable[[], ssl.SSLContext] = default_tls,
    ) -> None:
        scheme, host, port = _address(url, "the endpoint")
        self._service = service
        self._region = region
        self._credentials = credentials
        self._now = now
        self._http = _Http(host, port, now, tls if scheme == "https" else None)
        self._used = 0.0
        # Signed, so exactly as it is sent: lower case, without the scheme's own port.
        self._host = f"[{host}]" if ":" in host else host
        if port != _PORTS[scheme]:
            self._host += f":{port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection. The next post opens another."""
        self._http.close()

    def post(
        self, operation: str, body: bytes, *, deadline: float, gzipped: bool = False
    ) -> Response:
        """
        Send *body*, the JSON of one *operation*, and return the response of any status.

        *gzipped* says that *body* is compressed. `TransportError` if no whole response came by
        *deadline*, in seconds since 1970 UTC; only the look-up of a name can take longer.
        """
        headers = self._headers(operation, body, gzipped=gzipped)
        where = f"{self._service.prefix}:{operation} at {self._host}"
        http = self._http
        http.deadline = deadline
        # A peer that has closed, or sent bytes unasked, is known before anything is sent:
        # this is what keeps most requests on an idle connection out of doubt.
        if self._now() - self._used > IDLE or http.readable():
            http.close()
        done = False
        try:
            try:
                # Returns when the last byte is handed to the system. Until then the server
                # cannot have the whole body, and without it the signature does not hold.
                http.request("POST", "/", body, headers)
            except (OSError, HTTPException, UnicodeError) as e:
                raise TransportError(f"{where} was not sent: {_words(e)}", in_doubt=False) from e
            try:
                answer = http.getresponse()
                content = answer.read()
            except (OSError, HTTPException) as e:
                raise TransportError(
                    f"{where} was sent, but its answer did not come: {_words(e)}", in_doubt=True
                ) from e
            done = True
        finally:
            # What is left of a broken exchange must not be taken for the next one's answer.
            if not done:
                http.close()
        self._used = self._now()
        request_id = answer.headers.get("x-amzn-requestid", "")
        response = Response(answer.status, content, request_id=request_id)
        if response.ok:
            return response
        code, message = _fault(answer.headers, content)
        return response._replace(code=code or str(answer.status), message=message or answer.reason)

    def _headers(self, operation: str, body: bytes, *, gzipped: bool) -> dict[str, str]:
        headers = {
            "Host": self._host,
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Target": f"{self._service.target}.{operation}",
        }
        if self._service.query:
            headers["X-Amzn-Query-Mode"] = "true"
        if gzipped:
            headers["Content-Encoding"] = "gzip"
        signed = sign(
            headers,
            body,
            service=self._service.prefix,
            region=self._region,
            credentials=self._credentials(),
            now=self._now(),
        )
        return {**signed, "User-Agent": "apitracker"}


class _Http(HTTPConnection):
    """An `HTTPConnection` that connects, sends and receives by one *deadline*."""

    def __init__(
        self,
        host: str,
        port: int,
        now: Callable[[], float],
        tls: Callable[[], ssl.SSLContext] | None,
    ) -> None:
        super().__init__(host, port)
        self.deadline = 0.0
        self._now = now
        self._tls = tls

    def left(self) -> float:
        """Return how many seconds are left. `TimeoutError` if none are."""
        left = self.deadline - self._now()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        return left

    def readable(self) -> bool:
        """Return whether there is something to read, an end of the stream included."""
        if self.sock is None:
            return False
        with selectors.DefaultSelector() as selector:
            selector.register(self.sock, selectors.EVENT_READ)
            return bool(selector.select(0))

    def connect(self) -> None:
        """Connect to the first address that answers; http.client calls this when it has to."""
        self.left()  # no look-up, which nothing bounds, once the deadline has passed
        # As bytes: of a str, both calls would make an IDNA name, and import its tables for it.
        name = self.host.encode("ascii")
        fault: OSError = OSError("the name has no address")
        for family, kind, protocol, _, address in socket.getaddrinfo(
            name, self.port, type=socket.SOCK_STREAM
        ):
            sock = socket.socket(family, kind, protocol)
            try:
                sock.settimeout(min(CONNECT, self.left()))
                sock.connect(address)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self._tls:
                    context = self._tls()
                    sock.settimeout(min(CONNECT, self.left()))
                    sock = context.wrap_socket(sock, server_hostname=name)
            except OSError as e:
                sock.close()
                fault = e
            except BaseException:
                sock.close()
                raise
            else:
                self.sock = _Wire(sock, self.left)
                return
        raise fault


class _Wire:
    """
    The methods of a socket that http.client uses, with each wait cut to the time *left*.

    A socket's own timeout starts anew at each read: a server that sends a byte now and then
    could hold us for ever.
    """

    def __init__(self, sock: socket.socket, left: Callable[[], float]) -> None:
        self._sock = sock
        self._left = left

    def sendall(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            self._sock.settimeout(self._left())
            rest = rest[self._sock.send(rest) :]

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self._sock, self._left))

    def fileno(self) -> int:
        return self._sock.fileno()

    def close(self) -> None:
        self._sock.close()


class _Reader(io.RawIOBase):
    """Reader of a `_Wire`. The socket stays open until this is closed, as with its own file."""

    def __init__(self, sock: socket.socket, left: Callable[[], float]) -> None:
        self._sock = sock
        self._left = left
        self._file = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int | None:  # type: ignore[override]
        self._sock.settimeout(self._left())
        return self._file.readinto(buffer)

    def close(self) -> None:
        self._file.close()
        super().close()


def _fault(headers: HTTPMessage, body: bytes) -> tuple[str, str]:
    """
    Find an error's code and message, as botocore's parsers do.

    The code is in ``x-amzn-query-error`` as ``code;type``, in ``x-amzn-errortype``, or in the
    body's ``__type``; it may have a namespace before a ``#``, and an address after a ``:``.
    """
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        fields = None  # a proxy's page, say
    if not isinstance(fields, dict):
        fields = {}
    code = (
        headers.get("x-amzn-query-error", "").partition(";")[0]
        or headers.get("x-amzn-errortype")
        or fields.get("__type")
        or ""
    )
    message = fields.get("message") or fields.get("Message") or ""
    return str(code).partition(":")[0].rpartition("#")[2], str(message)


def _words(fault: Exception) -> str:
    """Return the words of *fault*; some exceptions, such as IncompleteRead's kin, have none."""
    return str(fault) or type(fault).__name__
