"""What a log is that is not one of CloudTrail's, known by its content, and said in plain words."""

import bz2
import gzip
import io
import itertools
import json
import lzma
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import real
from tests.logs import decode

from apitracker.core.model import Log
from apitracker.core.recognition import in_words, recognise
from apitracker.errors import LogError

unhurried = settings(deadline=None)  # a busy machine is no fault

RECORD = {
    "eventVersion": "1.11",
    "eventTime": "2026-11-20T10:00:00Z",
    "eventSource": "ec2.amazonaws.com",
    "eventName": "DescribeInstances",
    "eventID": "e-1",
}
LOG = json.dumps({"Records": [RECORD]}).encode()
NOTICE = {"messageId": "m", "receiptHandle": "r", "body": LOG.decode()}
EVENT = {"version": "0", "detail-type": "AWS API Call via CloudTrail", "detail": RECORD}


def zipped() -> bytes:
    """A zip archive with a log."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("log.json", LOG)
    return file.getvalue()


def tarred() -> bytes:
    """A tar archive with a log."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        info = tarfile.TarInfo("log.json")
        info.size = len(LOG)
        archive.addfile(info, io.BytesIO(LOG))
    return file.getvalue()


def fault(body: bytes) -> str:
    """What is wrong with a log of *body*, which cannot be read."""
    with pytest.raises(LogError) as caught:
        decode(Log.of("log.json.gz", body))
    assert caught.value.name == "log.json.gz"
    return caught.value.fault


def compact(value: object) -> bytes:
    """JSON in one line."""
    return json.dumps(value, separators=(",", ":")).encode()


class TestFiles:
    """Files of other kinds, whatever they are called, packed with gzip or not."""

    @pytest.mark.parametrize(
        ("body", "said"),
        [
            (zipped(), "is a zip archive; unpack it first"),
            (tarred(), "is a tar archive; unpack it first"),
            (gzip.compress(LOG), "is gzip in gzip; decompress it once first, with gunzip"),
            (
                b"\x28\xb5\x2f\xfd\x04\x00",
                "is compressed with zstd; decompress it first, with zstd -d",
            ),
            (bz2.compress(LOG), "is compressed with bzip2; decompress it first, with bunzip2"),
            (lzma.compress(LOG), "is compressed with xz; decompress it first, with unxz"),
            (b"PAR1\x15\x04", "is a Parquet file; name the trail's own files"),
            (
                LOG.decode().encode("utf-16"),
                "is text in UTF-16, as PowerShell writes it; convert it to UTF-8 first, with iconv",
            ),
            (
                LOG.decode().encode("utf-16-le"),
                "is text in UTF-16, as PowerShell writes it; convert it to UTF-8 first, with iconv",
            ),
            (
                b"2026-11-20T10:00:00Z stream " + compact(RECORD) + b"\n",
                "is log text with JSON behind a time; cut off what is before each {",
            ),
            (
                b"Event time,User name,Event name\n2026-11-20T10:00:46Z,sess,DescribeInstances\n",
                "is CSV; fetch the same as JSON",
            ),
            (b"Dear diary,\ntoday I", "is text, not JSON; leave it out"),
            (b"1,020 calls of ec2", "is text, not JSON; leave it out"),
            ("d\xe9j\xe0 vu".encode(), "is text, not JSON; leave it out"),
            (b"version account-id\n2 111122223333\n", "is text, not JSON; leave it out"),
            (
                b'<?xml version="1.0"?><Error/>',
                "is XML or HTML, perhaps an error instead of the log; fetch it again",
            ),
            (b"H4sIAAAAAAAA/6tWKkktLlGyUkpKLFKqBQAO\n", "is gzip in base64; decode it first, "),
        ],
        ids=lambda value: value[:40] if isinstance(value, str) else "",
    )
    @pytest.mark.parametrize("packed", [False, True])
    def test_are_named(self, body: bytes, said: str, *, packed: bool) -> None:
        """The fault says what the file is, and what to do."""
        if body.startswith(b"\x1f\x8b"):
            body = gzip.compress(body) if not packed else gzip.compress(gzip.compress(body))
        elif packed:
            body = gzip.compress(body)

        assert fault(body).startswith(said)

    def test_our_own_store(self, tmp_path: Path) -> None:
        """A store that lies beside the logs is called one."""
        with duckdb.connect(tmp_path / "usage.duckdb") as db:
            db.execute("CREATE TABLE about (version INTEGER)")

        assert fault((tmp_path / "usage.duckdb").read_bytes()) == (
            "is a DuckDB database, as apitracker's own store is; leave it out"
        )


ELEMENTS = [
    (
        EVENT,
        "is an event of EventBridge; take the records out of it first, with jq"
        " '.. | .detail? // empty'",
    ),
    (
        {"EventId": "e", "CloudTrailEvent": "{}"},
        "is events of LookupEvents alone; take the records out of it first, with jq -r",
    ),
    ({"metadata": {}, "class_uid": 6003}, "is OCSF, as Security Lake writes it; name the trail's"),
    ({"@timestamp": "", "@message": {}}, "is results of Logs Insights; take the records out"),
    (json.dumps(RECORD), "is records as JSON texts; unwrap them first, with jq -r '.[]'"),
]
DOCUMENTS = [
    ({"Records": [NOTICE]}, "is an event of SQS, which holds notices; name the trail's own files"),
    ({"Messages": [{"MessageId": "m", "ReceiptHandle": "r", "Body": ""}]}, "is messages of SQS, "),
    ({"Records": [{"EventSource": "aws:sns", "Sns": {}}]}, "is an event of SNS, which holds "),
    ({"Type": "Notification", "Message": "{}"}, "is a notification of SNS; name the file that "),
    ({"Records": [{"kinesis": {"data": ""}}]}, "is an event of Kinesis; name the trail's own"),
    ({"records": [{"recordId": "1", "data": ""}]}, "is an event of Firehose; name the trail's"),
    ({"awslogs": {"data": ""}}, "is an event of a CloudWatch Logs subscription; name the"),
    ({"messageType": "", "logEvents": []}, "is a payload of a CloudWatch Logs subscription; "),
    ({"events": [{"timestamp": 1, "message": "{}"}]}, "is log events of CloudWatch Logs; take "),
    ({"results": [[{"field": "@message", "value": ""}]]}, "is results of Logs Insights; read "),
    ({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b"}, "is a test notice of S3; "),
    ({"configurationItems": []}, "is a file of AWS Config; leave it out"),
]


class TestEnvelopes:
    """JSON that holds records in a form that is not read."""

    @pytest.mark.parametrize(("value", "said"), [*ELEMENTS, *DOCUMENTS], ids=itertools.count())
    def test_are_named(self, value: Any, said: str) -> None:  # noqa: ANN401
        """Packed or not, indented or not, several or not, the fault says what it is."""
        for body in (compact(value), json.dumps(value, indent=2).encode(), compact(value) * 3):
            assert fault(body).startswith(said)
            assert fault(gzip.compress(body)).startswith(said)

    @pytest.mark.parametrize(("value", "said"), ELEMENTS, ids=itertools.count())
    def test_are_named_in_lists_and_lines(self, value: Any, said: str) -> None:  # noqa: ANN401
        """Many of them are one fault, not one for each."""
        assert fault(compact([value] * 300)).startswith(said)
        assert fault(b"\n".join([compact(value)] * 300)).startswith(said)

    def test_beside_a_record(self) -> None:
        """One record among them makes it a log: the others are rejected, each by its place."""
        body = compact(EVENT) + b"\n" + compact(RECORD) + b"\n"

        decoded = decode(Log.of("log", body))

        assert len(decoded.calls) == 1
        assert [(r.place, r.reason) for r in decoded.rejected] == [("record 1", ELEMENTS[0][1])]

    def test_in_a_payload(self) -> None:
        """Messages of a log group that is not CloudTrail's are rejected, and are no fault of it."""
        decoded = decode(Log("id", "group", [compact(EVENT).decode()] * 2))

        assert len(decoded.rejected) == 2


@pytest.mark.parametrize("lines", [2, 600])
def test_lines_without_a_record(lines: int) -> None:
    """JSON lines of which none is a record are one fault, not one for each."""
    body = b'{"x":1}\n' * lines

    assert fault(body) == f"is not a CloudTrail log: none of its {lines} lines is a record"


def test_trailing_comma() -> None:
    """A comma before a closing bracket is named, with its place."""
    assert fault(LOG[:-2] + b",]}").startswith(
        "is cut off or damaged: its JSON has a comma before a closing bracket at byte "
    )


@pytest.mark.parametrize("body", [LOG, compact(RECORD), compact({"Events": []}), b"", b"5"])
@pytest.mark.parametrize("cut", [0, 1, 20])
def test_logs_are_nothing_else(body: bytes, cut: int) -> None:
    """A log of CloudTrail's, whole or cut off, is not taken for another thing."""
    assert recognise(body[: len(body) - cut]) == ""


@unhurried
@given(st.binary(max_size=80))
def test_any_bytes(text: bytes) -> None:
    """Whatever stands in a file, asking what it is does no harm."""
    assert recognise(text).isprintable()


@pytest.mark.parametrize("end", [b"[{" * 60_000, b'["' + b'\\"' * 60_000, b"[" + b" " * 90_000])
def test_without_an_end(end: bytes) -> None:
    """What is nested or quoted without an end is looked at once, and is nothing known."""
    assert recognise(end) == ""


class TestInWords:
    """What parsers say, without their words."""

    @pytest.mark.parametrize(
        ("text", "kind", "said"),
        [
            (b"[1", list, "its JSON has no end"),
            (b"[1,]", list, "its JSON has a comma before a closing bracket at byte 3"),
            (b"[x", list, "its JSON is wrong at byte 1"),
            (b'"x"', dict, "it is a text where an object should be"),
            (
                b'{"a":{"b":1}}',
                dict[str, dict[str, str]],
                "[...][...] is a number where a text should be",
            ),
            (b"[" * 5_000, list, "it is nested too deep"),
            (b'["\xff"]', list, "it is not in UTF-8"),
        ],
    )
    def test_example(self, text: bytes, kind: type, said: str) -> None:
        """Each fault has a clause of its own."""
        with pytest.raises((msgspec.DecodeError, UnicodeError, RecursionError)) as caught:
            msgspec.json.decode(text, type=kind)

        assert in_words(caught.value) == said


FIELD = real.DATA / "field"


@pytest.mark.skipif(not FIELD.is_dir(), reason="the logs to try against are not here")
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("archives/a.json.bz2", "is compressed with bzip2; "),
        ("archives/a.json.xz", "is compressed with xz; "),
        ("archives/a.json.zst", "is compressed with zstd; "),
        ("archives/logs.tar", "is a tar archive; "),
        ("archives/logs.tar.gz", "is a tar archive; "),
        ("archives/logs.zip", "is a zip archive; "),
        ("cwlogs/tail.txt", "is log text with JSON behind a time; "),
        ("cwlogs/insights.csv", "is CSV; "),
        ("cwlogs/insights.json", "is results of Logs Insights; "),
        ("cwlogs/filter-log-events.json", "is log events of CloudWatch Logs; "),
        ("event-history/event_history.csv", "is CSV; "),
        ("eventbridge/events.jsonl", "is an event of EventBridge; "),
        ("eventbridge/list.json", "is an event of EventBridge; "),
        ("firehose/cwl-double.gz", "is gzip in gzip; "),
        ("lookup-events/powershell.json", "is text in UTF-16, "),
        ("lookup-events/texts.jsonl", "is records as JSON texts; "),
        ("notices/sqs.json", "is an event of SQS, "),
        ("notices/sns-cloudtrail.json", "is a notification of SNS; "),
        ("security-lake/ocsf.jsonl", "is OCSF, "),
        ("security-lake/x.gz.parquet", "is a Parquet file; "),
    ],
)
def test_field(name: str, said: str) -> None:
    """What people have handed in instead of a log is named."""
    assert fault((FIELD / name).read_bytes()).startswith(said)
