"""Backfill: what would go, what went, and how to go on. CloudWatch is in aws/test_commands.py."""

import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.commands import run

from apitracker.core.counts import Counts
from apitracker.core.metric_sets import MetricSelection
from apitracker.errors import UsageError
from apitracker.jobs.publish import (
    InterruptedRunError,
    batches_done,
    look_ahead,
    send_batches,
)
from apitracker.tracker.put_metric_data import OUT_OF_TIME, Batch, fingerprint, plan
from apitracker.tracker.signing import Response, TransportError

NOW = 1_700_000_000.0
MINUTE = 1_699_999_980  # the minute of NOW
OK = Response(200, b"{}")
DENIED = Response(403, b"", "AccessDenied", "No.")
INVALID = Response(400, b"", "InvalidParameterValue", "No.")
LOST = TransportError("the answer did not come", in_doubt=True)
UNSENT = TransportError("it was not sent", in_doubt=False)


class Clock:
    """A clock that only moves when somebody waits."""

    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> float:
        """Seconds since 1970."""
        return self.time

    def sleep(self, seconds: float) -> None:
        """Move on."""
        self.time += seconds

    def random(self) -> float:
        """No jitter."""
        return 1.0


class Poster:
    """What gives these answers in turn, and the last one for ever."""

    def __init__(self, *answers: Response | TransportError) -> None:
        self.answers = answers
        self.posted = 0

    def post(
        self, operation: str, body: bytes, *, deadline: float, gzipped: bool = False
    ) -> Response:
        """Give the next answer."""
        del operation, body, deadline, gzipped
        answer = self.answers[min(self.posted, len(self.answers) - 1)]
        self.posted += 1
        if isinstance(answer, TransportError):
            raise answer
        return answer


def batches(*minutes: int, name: str = "Get", calls: int = 2) -> list[Batch]:
    """A batch of two metrics for each of *minutes*, the minutes as they stand there."""
    selection = MetricSelection()
    return [
        batch
        for minute in minutes
        for batch in plan(
            Counts(
                selection.fields,
                {(name, "r", "s", minute): calls, ("Put", "r", "s", minute): 1},
            ),
            selection,
        ).batches
    ]


def test_outlook() -> None:
    """What would be sent is told from what is too old or too new."""
    old, new = MINUTE - 15 * 86_400, MINUTE + 3 * 3_600
    outlook = look_ahead(batches(old, MINUTE, new), NOW)

    assert (outlook.batches, outlook.datums, outlook.calls) == (1, 2, 3)
    assert [datum.timestamp for datum in outlook.late] == [old, old, new, new]


def test_send() -> None:
    """Batches go one after the other, and progress is told."""
    told: list[int] = []
    old = MINUTE - 15 * 86_400

    done = send_batches(
        batches(MINUTE, MINUTE - 60, old), Poster(OK), Clock(), progress=told.append
    )

    assert (done.requests, done.datums, done.calls, done.retries) == (2, 4, 6, 0)
    assert [(r.datum.timestamp, r.reason) for r in done.refused] == [(old, OUT_OF_TIME)] * 2
    assert told == [1, 2, 3]


def stopped(planned: Sequence[Batch], poster: Poster, begin: int = 0) -> str:
    """What a run that does not end well says."""
    with pytest.raises(InterruptedRunError) as info:
        send_batches(planned, poster, Clock(), begin=begin)
    return str(info.value)


def test_a_run_that_stops() -> None:
    """It says what went, why no more did, and how to go on; going on sends the rest once."""
    planned = batches(MINUTE, MINUTE - 60, MINUTE - 120)
    known = fingerprint(planned)

    assert stopped(planned, Poster(OK, DENIED)) == (
        "batches 1 to 1 of 3 are published (2 datums and 3 calls by this run); "
        f"AWS answered PutMetricData with AccessDenied: No.; "
        f"go on with the same command and --resume {known}:1"
    )

    rest = Poster(OK)
    done = send_batches(planned, rest, Clock(), begin=batches_done(f"{known}:1", planned))
    assert (rest.posted, done.requests, done.calls) == (2, 2, 6)


@pytest.mark.parametrize(
    ("answers", "doubt"),
    [
        ([DENIED], "none of 1 batches is published; AWS"),
        ([UNSENT], "none of 1 batches is published; it was not sent"),
        ([LOST, DENIED], "none of 1 batches is published, and perhaps batch 1, which would then"),
        (
            [INVALID, OK, DENIED],
            "none of 1 batches is published, and a part of batch 1, which will",
        ),
    ],
)
def test_the_doubt_about_a_batch(answers: list[Response | TransportError], doubt: str) -> None:
    """A batch that may have been taken, or was in part, is named."""
    assert stopped(batches(MINUTE), Poster(*answers)).startswith(doubt)


def test_a_batch_is_waited_for() -> None:
    """A connection that comes back within two minutes costs nothing but time."""
    done = send_batches(batches(MINUTE), Poster(*[UNSENT] * 20, OK), Clock())

    assert (done.requests, done.retries, done.in_doubt) == (1, 20, [])


def test_fingerprints() -> None:
    """The same batches have the same one; any other calls, time or number have another."""
    found = {
        fingerprint(each)
        for each in (
            batches(MINUTE),
            batches(MINUTE),
            batches(MINUTE, MINUTE),
            batches(MINUTE - 60),
            batches(MINUTE, calls=3),
            batches(MINUTE, name="List"),
        )
    }

    assert len(found) == 5


@pytest.mark.parametrize("resume", ["", "1", "x:1", "0123456789ab:1", "{known}:2", "{known}:-1"])
def test_a_run_that_cannot_be_resumed(resume: str) -> None:
    """Other batches than those of the run that stopped would count twice, and are refused."""
    planned = batches(MINUTE)

    with pytest.raises(UsageError):
        batches_done(resume.format(known=fingerprint(planned)), planned)


# --- the command --------------------------------------------------------------------------------


def trail(folder: Path, *ages: timedelta) -> None:
    """Write ``a.json``: one call for each of *ages*, of that age."""
    records = [
        {
            "eventTime": f"{datetime.now(UTC) - age:%Y-%m-%dT%H:%M:%SZ}",
            "eventName": "GetObject" if n % 2 else "PutObject",
            "eventSource": "s3.amazonaws.com",
            "awsRegion": "eu-west-1",
            "eventID": str(n),
        }
        for n, age in enumerate(ages)
    ]
    (folder / "a.json").write_text(json.dumps({"Records": records}))


def test_dry_run(tmp_path: Path) -> None:
    """What would be published is printed, without credentials, and nothing is sent."""
    trail(tmp_path, *[timedelta(hours=1)] * 3, timedelta(hours=5))

    done = run(tmp_path, "publish", "a.json", "--dry-run")

    assert done.returncode == 0
    assert done.stdout == "would publish to API-COUNT: 1 requests, 3 datums, 4 calls\n"
    assert done.stderr == "1 logs; 4 records: 4 counted, 0 duplicate, 0 skipped, 0 rejected\n"


def test_inside_a_function(tmp_path: Path) -> None:
    """The command works in a Lambda function too: it starts no tracker of its own."""
    trail(tmp_path, timedelta(hours=1))

    done = run(tmp_path, "publish", "a.json", "--dry-run", AWS_LAMBDA_FUNCTION_NAME="f")

    assert (done.returncode, done.stdout) == (
        0,
        "would publish to API-COUNT: 1 requests, 1 datums, 1 calls\n",
    )


def test_dry_run_of_several_sets(tmp_path: Path) -> None:
    """Where each set goes is said, and that one call is in several."""
    trail(tmp_path, *[timedelta(hours=1)] * 3)

    both = run(tmp_path, "publish", "a.json", "--dry-run", "--metrics", "api,callers")
    one = run(tmp_path, "publish", "a.json", "--dry-run", "--metrics", "callers")

    assert both.stdout.startswith("would publish to API-COUNT and API-COUNT/Usage: 2 requests, ")
    assert both.stdout.endswith("6 calls, each once for every metric set that counts it\n")
    assert one.stdout.startswith("would publish to API-COUNT/Usage: 1 requests, ")
    assert one.stdout.endswith(" 3 calls\n")


def test_dry_run_of_what_is_too_old(tmp_path: Path) -> None:
    """What CloudWatch would refuse is said, with its times, and is no success."""
    trail(tmp_path, timedelta(days=1), timedelta(days=20), timedelta(days=30))
    day = datetime.now(UTC) - timedelta(days=30)

    done = run(tmp_path, "publish", "a.json", "--dry-run")

    assert done.returncode == 1
    assert done.stdout == "would publish to API-COUNT: 1 requests, 1 datums, 1 calls\n"
    assert f"2 calls of {day:%Y-%m-%d}" in done.stderr
    assert "are not published: CloudWatch takes two weeks back" in done.stderr


def test_dry_run_of_a_selection(tmp_path: Path) -> None:
    """Time and rules choose what would be published."""
    trail(tmp_path, timedelta(days=1), timedelta(days=1), timedelta(days=5))

    done = run(
        tmp_path,
        "publish",
        "a.json",
        "--since",
        "2d",
        "--until",
        "1h",
        "--dry-run",
        APITRACKER_EXCLUDE="eventName=Put*",
        APITRACKER_NAMESPACE="MINE",
    )

    assert done.stdout == "would publish to MINE: 1 requests, 1 datums, 1 calls\n"
    assert "1 calls are not published, by APITRACKER_INCLUDE and _EXCLUDE" in done.stderr


def test_without_credentials(tmp_path: Path) -> None:
    """Nothing is sent, and how to sign in is said."""
    trail(tmp_path, timedelta(hours=1))
    nowhere = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}

    done = run(tmp_path, "publish", "a.json", AWS_REGION="eu-west-1", **nowhere)

    assert done.returncode == 3
    assert "no AWS credentials were found: set AWS_PROFILE" in done.stderr

    done = run(tmp_path, "publish", "a.json", **nowhere)

    assert done.returncode == 3
    assert "no region is named: set AWS_REGION" in done.stderr
