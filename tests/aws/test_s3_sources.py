"""S3 as a source, over its real API."""

import hashlib
import subprocess
import sys
from calendar import timegm
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, NamedTuple

import boto3
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apitracker import aws as clients
from apitracker.errors import ServiceError, SourceError
from apitracker.logs.sources import fetch_log, find

ACCOUNT = "AWSLogs/111122223333"
REGION = f"{ACCOUNT}/CloudTrail/eu-west-1"
JULY_10 = timegm((2023, 7, 10, 0, 0, 0))
DAY = 86_400

CREDENTIALS = {
    "aws_access_key_id": "123456789012",
    "aws_secret_access_key": "dummy",
    "region_name": "us-east-1",
}

Fill = Callable[..., str]


@pytest.fixture
def fill(client: Callable[[str], Any], name: str) -> Fill:
    """Make a bucket of this test's own, put objects that hold their own keys; its name."""

    def put(*keys: str) -> str:
        s3 = client("s3")
        s3.create_bucket(Bucket=name)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda key: s3.put_object(Bucket=name, Key=key, Body=key.encode()), keys))
        return name

    return put


@pytest.fixture
def requests(account: str) -> Iterator[list[dict[str, Any]]]:  # noqa: ARG001
    """Every request to list objects that is made while the test runs: its parameters."""
    made: list[dict[str, Any]] = []

    def note(params: dict[str, Any], **_: object) -> None:
        made.append(dict(params))

    events = clients.client("s3").meta.events
    events.register("provide-client-params.s3.ListObjectsV2", note)
    yield made
    events.unregister("provide-client-params.s3.ListObjectsV2", note)


@pytest.fixture(scope="module")
def bucket_of_a_trail(aws: str) -> tuple[str, list[str]]:
    """A bucket with ten days of two accounts in two regions, more than a page; its keys."""
    s3 = boto3.session.Session(**CREDENTIALS).client("s3", endpoint_url=aws)
    everything = [
        f"AWSLogs/{account}/CloudTrail/{region}/2023/07/{day:02}/{n:02}"
        for account in ("111122223333", "444455556666")
        for region in ("eu-west-1", "us-east-1")
        for day in range(1, 11)
        for n in range(30)
    ]
    s3.create_bucket(Bucket="t-trail")
    for key in everything:
        s3.put_object(Bucket="t-trail", Key=key, Body=b"")
    s3.close()
    return "t-trail", everything


@pytest.fixture
def trail(account: str, bucket_of_a_trail: tuple[str, list[str]]) -> tuple[str, list[str]]:  # noqa: ARG001
    """The same, where the environment leads to it."""
    return bucket_of_a_trail


def keys(source: str, **period: int | None) -> list[str]:
    """The keys found."""
    bucket = source.split("/")[2]
    return [f.name.removeprefix(f"s3://{bucket}/") for f in find(source, **period)]


class TestFind:
    """What there is below a prefix."""

    def test_finds_logs_by_name_size_and_etag(self, fill: Fill) -> None:
        """An object comes with what tells whether it has changed."""
        bucket = fill(f"{REGION}/2023/07/10/log")
        name = f"s3://{bucket}/{REGION}/2023/07/10/log"
        etag = hashlib.md5(f"{REGION}/2023/07/10/log".encode(), usedforsecurity=False).hexdigest()

        assert list(find(f"s3://{bucket}")) == [(name, len(REGION) + 15, etag)]

    def test_leaves_out_what_is_no_log(self, fill: Fill) -> None:
        """Digests, insights and the markers that consoles make for folders are left out."""
        bucket = fill(
            "AWSLogs/",
            f"{ACCOUNT}/CloudTrail-Digest/eu-west-1/2023/07/10/d.json.gz",
            f"{ACCOUNT}/CloudTrail-Insight/eu-west-1/2023/07/10/i.json.gz",
            f"{ACCOUNT}/CloudTrail/",
            f"{REGION}/2023/07/10/l.json.gz",
            f"{ACCOUNT}/Config_$folder$",
            "_SUCCESS",
            "CloudTrail-Digest/d.json.gz",
            "not-CloudTrail-Digest/n.json.gz",
        )

        assert keys(f"s3://{bucket}") == [
            f"{REGION}/2023/07/10/l.json.gz",
            "not-CloudTrail-Digest/n.json.gz",
        ]

    @pytest.mark.parametrize("named", ["", "/", "/d.json.gz"])
    def test_finds_digests_that_are_named(self, fill: Fill, named: str) -> None:
        """A folder or an object that would be left out is found when it is named."""
        bucket = fill("CloudTrail-Digest/d.json.gz", "CloudTrail/l.json.gz")

        assert keys(f"s3://{bucket}/CloudTrail-Digest{named}") == ["CloudTrail-Digest/d.json.gz"]

    def test_leaves_out_other_services(self, fill: Fill, requests: list[dict[str, Any]]) -> None:
        """Their folders are jumped over, not listed, and come back, each once."""
        bucket = fill(
            f"{REGION}/2023/07/10/l.json.gz",
            *(f"{ACCOUNT}/Config/us-east-1/2023/7/10/{n:04}" for n in range(1100)),
            f"{ACCOUNT}/CloudTrail-NetworkActivity/us-east-1/2023/07/10/n.json.gz",
            "AWSLogs/o-a1b2/444455556666/vpcflowlogs/us-east-1/2023/07/10/v.log.gz",
            "AWSLogs/o-a1b2/444455556666/vpcflowlogs/us-east-1/2023/07/11/v.log.gz",
        )

        found = find(f"s3://{bucket}")
        names = []
        left_out = None
        while left_out is None:
            try:
                names.append(next(found).name)
            except StopIteration as end:
                left_out = end.value

        assert names == [
            f"s3://{bucket}/{ACCOUNT}/CloudTrail-NetworkActivity/us-east-1/2023/07/10/n.json.gz",
            f"s3://{bucket}/{REGION}/2023/07/10/l.json.gz",
        ]
        assert left_out == [
            (f"s3://{bucket}/{ACCOUNT}/Config", "Config", -1),
            (f"s3://{bucket}/AWSLogs/o-a1b2/444455556666/vpcflowlogs", "vpcflowlogs", -1),
        ]
        assert [r.get("StartAfter", "") for r in requests] == ["", f"{ACCOUNT}/Config0"]

    @pytest.mark.parametrize("named", ["", "/", "/us-east-1", "/c.json.gz"])
    def test_finds_other_services_that_are_named(self, fill: Fill, named: str) -> None:
        """A service's folder, one in it, or an object in it can be named."""
        bucket = fill(f"{ACCOUNT}/Config/c.json.gz", f"{ACCOUNT}/Config/us-east-1/c.json.gz")

        assert keys(f"s3://{bucket}/{ACCOUNT}/Config{named}")

    def test_passes_a_page(self, fill: Fill) -> None:
        """S3 lists 1,000 objects at a time."""
        wanted = [f"{REGION}/2023/07/10/{n:04}" for n in range(2001)]
        bucket = fill(*wanted)

        assert keys(f"s3://{bucket}/") == wanted

    def test_takes_keys_as_they_are(self, fill: Fill) -> None:
        """Keys may hold what is special in an address, and spaces, and any language."""
        odd = ["a b", "a%20b", "a+b", "a//b", "a?b#c", "grün/ü"]
        bucket = fill(*odd)

        assert keys(f"s3://{bucket}") == odd
        assert [fetch_log(f.name).body for f in find(f"s3://{bucket}")] == [
            key.encode() for key in odd
        ]


class TestPrefix:
    """What follows the name of the bucket."""

    class Case(NamedTuple):
        """A prefix, and the keys that it means."""

        prefix: str
        keys: list[str]

    @pytest.mark.parametrize(
        "case",
        [
            Case("logs", ["logs/1"]),
            Case("logs/", ["logs/1"]),
            Case("logs-old", ["logs-old/1"]),
            Case("log", ["logs-old/1", "logs/1"]),
            Case("one", ["one"]),
            Case("one/", ["one/more"]),
            Case("one/m", ["one/more"]),
        ],
        ids=lambda case: case.prefix,
    )
    def test_is_an_object_or_a_folder_or_a_beginning(self, fill: Fill, case: Case) -> None:
        """The first of these that is there is meant."""
        bucket = fill("logs-old/1", "logs/1", "one", "one/more", "other")

        assert keys(f"s3://{bucket}/{case.prefix}") == case.keys

    @pytest.mark.parametrize("period", [{}, {"since": JULY_10}])
    @pytest.mark.parametrize("prefix", ["", "log", "empty/", "CloudTrail-"])
    def test_without_logs(self, fill: Fill, prefix: str, period: dict[str, int]) -> None:
        """A prefix below which there is no log at any time is an error."""
        bucket = fill("empty/", "CloudTrail-Digest/d", "CloudTrail-Insight/i")

        with pytest.raises(SourceError, match=f"^s3://{bucket}/{prefix}: there are no log files"):
            keys(f"s3://{bucket}/{prefix}", **period)

    def test_of_no_bucket(self, account: str, name: str) -> None:  # noqa: ARG002
        """A bucket that is not there is an error that names it."""
        with pytest.raises(SourceError, match=f"^s3://{name}/a: there is no such bucket: check"):
            keys(f"s3://{name}/a")

    @pytest.mark.parametrize("source", ["s3://", "s3:///key", "s3://a bucket/key"])
    def test_of_what_cannot_be_a_bucket(self, account: str, source: str) -> None:  # noqa: ARG002
        """A bad name of a bucket is an error that names it."""
        with pytest.raises(SourceError, match=f"^{source}: S3 has no such names: "):
            keys(source)


DAYS = ["2022/12/31", "2023/07/09", "2023/07/10", "2023/08/09", "2023/08/10", "2024/01/01"]


class TestDays:
    """Event times, and the folders by day of delivery."""

    @pytest.mark.parametrize(
        "prefix",
        [
            "",
            "trail",
            "trail/AWSLogs/o-a1b2",
            f"trail/AWSLogs/o-a1b2/{ACCOUNT[8:]}",
            f"trail/AWSLogs/o-a1b2/{ACCOUNT[8:]}/CloudTrail",
            f"trail/AWSLogs/o-a1b2/{REGION[8:]}",
            f"trail/AWSLogs/o-a1b2/{REGION[8:]}/2023",
            f"trail/AWSLogs/o-a1b2/{REGION[8:]}/2023/07",
            f"trail/AWSLogs/o-a1b2/{REGION[8:]}/2023/07/1",
            f"trail/AWSLogs/o-a1b2/{REGION[8:]}/2023/0",
        ],
    )
    def test_are_found_from_any_depth(self, fill: Fill, prefix: str) -> None:
        """The layout is understood wherever the prefix ends, that of organisations too."""
        folder = f"trail/AWSLogs/o-a1b2/{REGION[8:]}"
        bucket = fill(*(f"{folder}/{day}/log" for day in DAYS))

        found = keys(f"s3://{bucket}/{prefix}", since=JULY_10, until=JULY_10 + DAY)

        days = [f"{folder}/2023/07/10/log", f"{folder}/2023/08/09/log"]
        assert found == [day for day in days if day.startswith(prefix)]

    def test_of_a_day_that_is_named(self, fill: Fill) -> None:
        """A day outside of the period holds nothing of it, and is named as the newest there."""
        bucket = fill(*(f"{REGION}/{day}/log" for day in DAYS))

        for prefix, period in (
            ("2023/07/09/", {"since": JULY_10}),
            ("2024/01/01/", {"until": JULY_10}),
        ):
            with pytest.raises(SourceError) as raised:
                keys(f"s3://{bucket}/{REGION}/{prefix}", **period)
            assert str(raised.value).endswith(
                f"; the newest one is s3://{bucket}/{REGION}/{prefix}log"
            )

    def test_without_logs_of_the_time(self, fill: Fill, requests: list[dict[str, Any]]) -> None:
        """The newest log is found by year, month and day, not by listing everything."""
        bucket = fill(
            *(f"{REGION}/2023/07/09/{n:04}" for n in range(2_100)),
            f"{REGION}/2023/11/30/log",
            f"{ACCOUNT}/CloudTrail/us-east-1/2023/12/01/log",
            f"{ACCOUNT}/CloudTrail/us-east-1/2023/12/02/log",
            f"{ACCOUNT}/CloudTrail/us-east-1/2023/12/02/more",
        )

        with pytest.raises(SourceError) as raised:
            keys(f"s3://{bucket}/AWSLogs", since=JULY_10 + 200 * DAY)

        assert str(raised.value) == (
            f"s3://{bucket}/AWSLogs: no log there may hold calls of that time: looked at the"
            " folders of the days from 2024/01/26, at logs delivered from 2024-01-25T23:45Z on;"
            f" the newest one is s3://{bucket}/{ACCOUNT}/CloudTrail/us-east-1/2023/12/02/more"
        )
        assert len(requests) < 250

    def test_of_an_object_that_is_named(self, fill: Fill) -> None:
        """An object that is named is found at any time."""
        bucket = fill(f"{REGION}/2023/07/09/log")

        assert keys(f"s3://{bucket}/{REGION}/2023/07/09/log", since=JULY_10) == [
            f"{REGION}/2023/07/09/log"
        ]

    def test_elsewhere_say_nothing(self, fill: Fill) -> None:
        """Where there is no layout of CloudTrail's, everything is found."""
        other = ["2023/01/01/log", f"{REGION}/index", f"{REGION}/x/2023/01/01/log", "log"]
        bucket = fill(*other, f"{REGION}/2023/01/01/log")

        assert keys(f"s3://{bucket}", since=JULY_10, until=JULY_10 + DAY) == [
            "2023/01/01/log",
            f"{REGION}/index",
            f"{REGION}/x/2023/01/01/log",
            "log",
        ]

    def test_are_gone_to_without_listing_others(
        self, fill: Fill, requests: list[dict[str, Any]]
    ) -> None:
        """More than a page of digests, of older and of newer logs are jumped over, not listed."""
        bucket = fill(
            *(f"{ACCOUNT}/CloudTrail-Digest/eu-west-1/2023/07/10/{n:04}" for n in range(1100)),
            *(f"{REGION}/2023/07/09/{n:04}" for n in range(1100)),
            f"{REGION}/2023/07/10/log",
            f"{REGION}/2023/08/09/log",
            *(f"{REGION}/2023/08/10/{n:04}" for n in range(1100)),
            f"{ACCOUNT}/CloudTrail/us-east-1/2023/07/09/log",
            f"{ACCOUNT}/CloudTrail/us-east-1/2023/07/10/log",
        )

        found = keys(f"s3://{bucket}/", since=JULY_10, until=JULY_10 + DAY)

        assert found == [
            f"{REGION}/2023/07/10/log",
            f"{REGION}/2023/08/09/log",
            f"{ACCOUNT}/CloudTrail/us-east-1/2023/07/10/log",
        ]
        assert [r.get("StartAfter", "") for r in requests] == [
            "",
            f"{ACCOUNT}/CloudTrail-Digest0",
            f"{REGION}/2023/07/10",
            f"{REGION}/:",
        ]
        assert {r["Prefix"] for r in requests} == {""}

    def test_of_small_regions_cost_no_request_each(
        self, fill: Fill, requests: list[dict[str, Any]]
    ) -> None:
        """What a page holds already is not asked for again."""
        regions = [f"{ACCOUNT}/CloudTrail/eu-west-{n}" for n in range(1, 10)]
        bucket = fill(*(f"{region}/{day}/log" for region in regions for day in DAYS))

        found = keys(f"s3://{bucket}/", since=JULY_10, until=JULY_10 + 1)

        assert len(found) == 18
        assert len(requests) == 1

    @settings(
        max_examples=30,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(first=st.integers(-2, 12), days=st.integers(1, 12))
    def test_are_all_found(self, trail: tuple[str, list[str]], first: int, days: int) -> None:
        """Any period finds what a listing of everything holds of its days, across pages."""
        bucket, everything = trail
        since = timegm((2023, 7, 1, 0, 0, 0)) + first * DAY

        try:
            found = keys(f"s3://{bucket}", since=since, until=since + days * DAY)
        except SourceError:
            found = []

        assert found == [key for key in everything if first <= int(key.split("/")[-2]) - 1]


class TestRead:
    """An object that was found."""

    def test_gives_the_bytes_as_they_are_stored(self, fill: Fill, client: Any) -> None:  # noqa: ANN401
        """CloudTrail says that its objects are encoded by gzip; they are not unpacked."""
        bucket = fill()
        body = b"\x1f\x8b\x08\x00 not even gzip"
        client("s3").put_object(Bucket=bucket, Key="log", Body=body, ContentEncoding="gzip")

        log = fetch_log(f"s3://{bucket}/log")

        assert (log.name, log.body) == (f"s3://{bucket}/log", body)
        assert log.id == hashlib.sha256(body).hexdigest()

    def test_of_an_object_that_is_gone(self, fill: Fill) -> None:
        """An object that went away in between is named."""
        bucket = fill()

        with pytest.raises(SourceError, match=f"^s3://{bucket}/gone: there is no such object"):
            fetch_log(f"s3://{bucket}/gone")

    def test_of_a_bucket_that_is_gone(self, account: str, name: str) -> None:  # noqa: ARG002
        """So is a bucket."""
        with pytest.raises(SourceError, match=f"^s3://{name}/log: there is no such bucket"):
            fetch_log(f"s3://{name}/log")


Answer = tuple[int, bytes, int]


@contextmanager
def answering(*answers: Answer) -> Iterator[tuple[str, list[str]]]:
    """
    Serve status, body and promised length, one after the other and the last for ever.

    Gives the address and the list of what was asked for. For what the emulator never does.
    """
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            status, body, promised = answers[min(len(asked), len(answers)) - 1]
            self.send_response(status)
            self.send_header("Content-Length", str(promised))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Keep the output of the tests clean."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://localhost:{server.server_address[1]}", asked
        finally:
            server.shutdown()
            thread.join()


def refusal(status: int, code: str) -> Answer:
    """How S3 says no."""
    body = f"<Error><Code>{code}</Code><Message>No.</Message></Error>".encode()
    return status, body, len(body)


@pytest.mark.usefixtures("dummies")
class TestClient:
    """How S3 is asked, and what is made of its refusals."""

    @pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
    def test_goes_to_the_endpoint_that_is_set(
        self, monkeypatch: pytest.MonkeyPatch, variable: str
    ) -> None:
        """The bucket stands in the path, as its name need not resolve as a host."""
        with answering((200, b"body", 4)) as (url, asked):
            monkeypatch.setenv(variable, url)

            assert fetch_log("s3://bucket/a/key").body == b"body"
        assert asked == ["/bucket/a/key"]

    def test_is_made_anew_for_another_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A client does not outlive the settings it was made from, and is else kept."""
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://localhost:1")
        one = clients.client("s3")
        same = clients.client("s3")
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://localhost:2")
        other = clients.client("s3")

        assert one is same
        assert (one.meta.endpoint_url, other.meta.endpoint_url) == (
            "http://localhost:1",
            "http://localhost:2",
        )

    def test_is_not_shared_with_a_forked_process(self) -> None:
        """Two processes on one connection would read each other's answers."""
        program = (
            "import os; from apitracker.aws import client; mine = client('s3'); "
            "child = os.fork() or os._exit(client('s3') is mine); "
            "raise SystemExit(bool(os.waitpid(child, 0)[1]))"
        )

        assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0

    def test_goes_to_aws_by_the_name_of_the_bucket(self) -> None:
        """Without an endpoint, S3 is asked the way AWS wants it, and five times."""
        s3 = clients.client("s3")
        url = s3.generate_presigned_url("get_object", Params={"Bucket": "bucket", "Key": "k"})

        assert url.startswith("https://bucket.s3.amazonaws.com/k?")
        assert s3.meta.config.retries["mode"] == "standard"
        assert s3.meta.config.retries["total_max_attempts"] == 5
        assert s3.meta.config.connect_timeout == 10

    def test_leaves_the_attempts_to_the_user(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The variables that AWS documents go before what we would choose."""
        monkeypatch.setenv("AWS_RETRY_MODE", "adaptive")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")

        retries = clients.client("s3").meta.config.retries

        assert (retries["mode"], retries["total_max_attempts"]) == ("adaptive", 2)

    @pytest.mark.parametrize("broken", [1, 2])
    def test_repeats_what_breaks_off(self, monkeypatch: pytest.MonkeyPatch, broken: int) -> None:
        """A body that ends too early is asked for again, up to twice."""
        with answering(*[(200, b"bo", 4)] * broken, (200, b"body", 4)) as (url, asked):
            monkeypatch.setenv("AWS_ENDPOINT_URL", url)

            assert fetch_log("s3://bucket/key").body == b"body"
        assert len(asked) == broken + 1

    def test_gives_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A body that breaks off each time is an error of the service."""
        with answering((200, b"bo", 4)) as (url, asked):
            monkeypatch.setenv("AWS_ENDPOINT_URL", url)

            with pytest.raises(
                ServiceError, match=r"^s3://bucket/key: no whole answer came from AWS: "
            ):
                fetch_log("s3://bucket/key")
        assert len(asked) == 3

    @pytest.mark.parametrize(
        ("status", "code", "error", "words"),
        [
            (403, "AccessDenied", SourceError, "access denied: reading needs s3:ListBucket"),
            (403, "InvalidObjectState", SourceError, "it is archived: restore it"),
            (403, "InvalidAccessKeyId", ServiceError, "InvalidAccessKeyId: No.: set AWS_PROFILE"),
            (400, "ExpiredToken", ServiceError, "ExpiredToken: No.: set AWS_PROFILE"),
            (400, "Whatever", ServiceError, "Whatever: No.: try again later"),
            (503, "SlowDown", ServiceError, "SlowDown: No.: try again later"),
        ],
    )
    def test_says_what_was_refused(
        self,
        monkeypatch: pytest.MonkeyPatch,
        status: int,
        code: str,
        error: type[Exception],
        words: str,
    ) -> None:
        """A refusal names the object, the fault and the way on."""
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        with answering(refusal(status, code)) as (url, _):
            monkeypatch.setenv("AWS_ENDPOINT_URL", url)

            with pytest.raises(error, match=f"^s3://bucket/key: .*{words}"):
                fetch_log("s3://bucket/key")
            with pytest.raises(error, match=f"^s3://bucket/prefix: .*{words}"):
                list(find("s3://bucket/prefix"))

    def test_without_credentials(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Missing credentials are told from a missing object, with how to give them."""
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

        with pytest.raises(ServiceError, match=r"^s3://b/k: no AWS credentials were found: set "):
            fetch_log("s3://b/k")

    def test_with_a_profile_that_is_not_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A profile that does not exist is named."""
        monkeypatch.setenv("AWS_PROFILE", "nobody")

        with pytest.raises(ServiceError, match=r"^s3://b/k: AWS could not be asked: .*nobody"):
            list(find("s3://b/k"))

    @pytest.mark.parametrize(
        ("url", "fault"),
        [
            ("http://localhost:1", "no whole answer came from AWS: Could not connect"),
            ("nonsense", "AWS could not be asked: Invalid endpoint"),
        ],
    )
    def test_that_reaches_nobody(
        self, monkeypatch: pytest.MonkeyPatch, url: str, fault: str
    ) -> None:
        """An endpoint that does not answer or cannot be one is named."""
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")

        with pytest.raises(ServiceError, match=f"^s3://bucket/k: {fault}.*{url}"):
            fetch_log("s3://bucket/k")
