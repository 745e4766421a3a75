"""
The alarm that the page offers for an API, and the incident that it is made for.

The numbers are those of the command that is printed.
"""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect
from tests.web.serving import Open, ingest, serving

API = "ec2.amazonaws.com:DescribeInstances"
WHERE = ["eventSource=ec2.amazonaws.com", "eventName=DescribeInstances"]
TEN = 1_790_848_800  # 2026-10-01T10:00Z
THROTTLED = "Client.RequestLimitExceeded"

CALLS = [
    # minute, calls, awsRegion, caller, errorCode
    ("10:00", 5, "us-east-1", "ann", None),
    ("10:00", 2, "eu-west-1", "bob", None),
    ("11:30", 20, "us-east-1", "ann", None),
    ("11:30", 3, "us-east-1", "bob", THROTTLED),
    ("11:31", 8, "us-east-1", "ann", None),
    ("11:31", 1, "us-east-1", "ann", THROTTLED),
    ("11:45", 2, "us-east-1", "ann", None),
    ("11:45", 2, "us-east-1", "bob", "Client.InvalidParameterValue"),
    ("12:15", 5, "us-east-1", "ann", None),
    ("12:15", 1, "us-east-1", "bob", "Client.UnauthorizedOperation"),
]


SAID = """\
Fires at more calls than in the busiest minute of this time in which no call was throttled, \
2026-10-01 10:00: 2 minutes had more, up to 23.
Fires at more calls than in the busiest hour of this time in which no call was throttled, \
2026-10-01 10:00: 1 hour had more, up to 36.
Fires at the first throttled call, if the metric set outcomes is published: \
2 minutes of this time had one.
Published, the calls of this time are 2 metrics, $0.60 a month: $0.30 for each region. \
An alarm is $0.10 a month for each metric that it watches. List prices of us-east-1.
"""


def record(number: int, minute: str, region: str, caller: str, error: str | None) -> dict[str, Any]:
    """One record of CloudTrail."""
    made: dict[str, Any] = {
        "eventVersion": "1.08",
        "eventID": f"{number}",
        "eventTime": f"2026-10-01T{minute}:{number % 60:02}Z",
        "eventSource": "ec2.amazonaws.com",
        "eventName": "DescribeInstances",
        "awsRegion": region,
        "recipientAccountId": "111122223333",
        "userIdentity": {"type": "IAMUser", "arn": f"arn:aws:iam::111122223333:user/{caller}"},
    }
    return made | ({"errorCode": error} if error else {})


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the page on `CALLS`."""
    folder = tmp_path_factory.mktemp("alarm")
    rows = [
        (minute, region, caller, error)
        for minute, number, region, caller, error in CALLS
        for _ in range(number)
    ]
    records = [record(number, *row) for number, row in enumerate(rows)]
    (folder / "log.json").write_text(json.dumps({"Records": records}))
    ingest(folder / "usage.duckdb", folder / "log.json")
    with serving(folder / "usage.duckdb") as url:
        yield url


def address(*where: str, **time: str) -> str:
    """The address of the API, narrowed by *where* and *time*."""
    return "?" + urlencode([*time.items(), *(("where", text) for text in [*WHERE, *where])])


def commands(page: Page) -> Locator:
    """The commands of the panel."""
    return page.locator(".own code")


def threshold(
    above: int | None, at: int | None, *, most: int, throttled_or_denied: int, exceeded: int
) -> dict[str, int | None]:
    """What is answered for the minute, or the hour."""
    return {
        "above": above,
        "at": at,
        "most": most,
        "throttledOrDenied": throttled_or_denied,
        "exceeded": exceeded,
    }


# --- what is answered ---------------------------------------------------------------------------


def minutes(count: int) -> int:
    """So many minutes after ten."""
    return TEN + 60 * count


@pytest.mark.parametrize(
    ("asked", "minute", "hour", "regions"),
    [
        (  # all of the API: the incident of 11:30 is no threshold
            [],
            threshold(7, TEN, most=23, throttled_or_denied=2, exceeded=2),
            threshold(7, TEN, most=36, throttled_or_denied=1, exceeded=1),
            2,
        ),
        (
            [("where", "awsRegion=us-east-1")],
            threshold(6, minutes(135), most=23, throttled_or_denied=2, exceeded=2),
            threshold(6, minutes(120), most=36, throttled_or_denied=1, exceeded=1),
            1,
        ),
        (  # an hour is whole, also that in which the time begins
            [("since", "2026-10-01T10:30Z"), ("until", "2026-10-01T12:16Z")],
            threshold(6, minutes(135), most=23, throttled_or_denied=2, exceeded=2),
            threshold(7, TEN, most=36, throttled_or_denied=1, exceeded=1),
            1,
        ),
        (  # nothing but the incident
            [("since", "2026-10-01T11:30Z"), ("until", "2026-10-01T11:32Z")],
            threshold(None, None, most=23, throttled_or_denied=2, exceeded=0),
            threshold(None, None, most=36, throttled_or_denied=1, exceeded=0),
            1,
        ),
        (  # nothing
            [("since", "2026-10-02"), ("until", "2026-10-03")],
            threshold(None, None, most=0, throttled_or_denied=0, exceeded=0),
            threshold(None, None, most=0, throttled_or_denied=0, exceeded=0),
            0,
        ),
        (  # what is both is neither
            [("outcome", "failed"), ("where", "outcome=throttled")],
            threshold(None, None, most=0, throttled_or_denied=2, exceeded=0),
            threshold(None, None, most=0, throttled_or_denied=1, exceeded=0),
            0,
        ),
        (
            [("outcome", "throttled")],
            threshold(0, None, most=3, throttled_or_denied=2, exceeded=2),
            threshold(0, None, most=4, throttled_or_denied=1, exceeded=1),
            1,
        ),
        (
            [("outcome", "denied")],
            threshold(0, None, most=1, throttled_or_denied=1, exceeded=1),
            threshold(0, None, most=1, throttled_or_denied=1, exceeded=1),
            1,
        ),
        (
            [("outcome", "failed")],
            threshold(2, minutes(105), most=2, throttled_or_denied=2, exceeded=0),
            threshold(0, TEN, most=2, throttled_or_denied=1, exceeded=1),
            1,
        ),
    ],
)
def test_thresholds(
    small: str,
    asked: list[tuple[str, str]],
    minute: dict[str, int | None],
    hour: dict[str, int | None],
    regions: int,
) -> None:
    """The busiest minute and hour in which no call was throttled, and how many have more calls."""
    where = [("where", text) for text in WHERE]

    assert httpx.get(f"{small}/api/thresholds", params=[*where, *asked]).json() == {
        "minute": minute,
        "hour": hour,
        "regions": regions,
    }


# --- what is shown ------------------------------------------------------------------------------


def test_the_alarm_would_have_fired(open_page: Open, small: str) -> None:
    """With throttled calls in view the threshold is of a minute without any, and said to be so."""
    page = open_page(f"{small}{address()}")

    expect(commands(page)).to_have_text(
        [
            f"apitracker alarm --above 7 --per 1m --any-region {API}",
            f"apitracker alarm --above 7 --per 1h --any-region {API}",
            f"apitracker alarm --above 0 --per 1m --any-region --outcome throttled {API}",
        ]
    )
    for said, words in zip(page.locator(".own .lines p").all(), SAID.splitlines(), strict=True):
        expect(said).to_have_text(words)


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("caller=arn:aws:iam::111122223333:user/bob", "caller"),
        ("recipientAccountId=111122223333", "account"),
        ("errorCode=Client.RequestLimitExceeded", "error code"),
        ("outcome=ok", "outcome"),
        ("awsRegion=us-*", "region"),
    ],
)
def test_what_an_alarm_cannot_be_narrowed_by_changes_nothing(
    open_page: Open, small: str, field: str, name: str
) -> None:
    """The command and the cost are of all calls of the API, and the panel says so."""
    page = open_page(f"{small}{address(field)}")

    expect(page.locator(".own")).to_contain_text(
        f"An alarm is on all calls of the API: it cannot be narrowed by {name}."
    )
    expect(commands(page).first).to_have_text(
        f"apitracker alarm --above 7 --per 1m --any-region {API}"
    )
    expect(page.locator(".own")).to_contain_text("2 metrics, $0.60 a month")


@pytest.mark.parametrize(
    ("outcome", "above", "said"),
    [
        ("throttled", 0, "2 minutes of this time had one."),
        ("denied", 0, "1 minute of this time had one."),
        ("failed", 2, "those with throttled calls would not have made it fire."),
    ],
)
def test_an_outcome_is_alarmed_on_as_such(
    open_page: Open, small: str, outcome: str, above: int, said: str
) -> None:
    """Narrowed to an outcome, the command counts the calls that ended so, and its metrics cost."""
    page = open_page(f"{small}{address(f'outcome={outcome}')}")

    expect(commands(page).first).to_have_text(
        f"apitracker alarm --above {above} --per 1m --any-region --outcome {outcome} {API}"
    )
    expect(page.locator(".own .lines p").first).to_contain_text(said)
    expect(page.locator(".own")).to_contain_text(
        f"Published by the metric set outcomes, {outcome} calls of this time are 1 metric, $0.30"
    )
    expect(page.locator(".own")).not_to_contain_text("cannot be narrowed")


def test_a_region_is_alarmed_on_by_itself(open_page: Open, small: str) -> None:
    """Narrowed to a region, the numbers, the command and the cost are of that region."""
    page = open_page(f"{small}{address('awsRegion=us-east-1')}")

    expect(commands(page).first).to_have_text(
        f"apitracker alarm --above 6 --per 1m --region us-east-1 {API}"
    )
    expect(page.locator(".own")).to_contain_text("calls of this time in us-east-1 are 1 metric")


def test_no_threshold_is_made_of_an_incident_alone(open_page: Open, small: str) -> None:
    """Where some calls of each minute were throttled there is no command to fire at more."""
    page = open_page(f"{small}{address(since='2026-10-01T11:30Z', until='2026-10-01T11:32Z')}")

    expect(commands(page)).to_have_text(
        [f"apitracker alarm --above 0 --per 1m --any-region --outcome throttled {API}"]
    )
    expect(page.locator(".own .lines p").first).to_have_text(
        "In each minute of this time that had calls, some were throttled."
        " Choose a longer time for a threshold."
    )


def test_a_calm_time_says_its_busiest(open_page: Open, small: str) -> None:
    """Without a throttled call the threshold is that of the busiest minute of all."""
    page = open_page(f"{small}{address(since='2026-10-01T12:00Z', until='2026-10-01T13:00Z')}")

    expect(commands(page).first).to_have_text(
        f"apitracker alarm --above 6 --per 1m --any-region {API}"
    )
    expect(page.locator(".own .lines p").first).to_have_text(
        "Fires at more calls than in the busiest minute of this time, 2026-10-01 12:15."
    )


# --- the incident -------------------------------------------------------------------------------


def test_an_incident_is_shown_whole(open_page: Open, small: str) -> None:
    """A click shows all calls of its API, region and account in its time, by caller."""
    page = open_page(f"{small}?view=throttled&where=caller=*bob&since=2026-10-01")
    page.locator(".incidents tbody").get_by_role("link", name="ec2: DescribeInstances").click()
    expect(page.locator(".legend li")).to_have_text(
        ["user/ann 11112222333329", "user/bob 1111222233333"]
    )

    assert sorted(parse_qsl(urlsplit(page.url).query)) == [
        ("by", "caller"),
        ("since", "2026-10-01T11:25Z"),
        ("until", "2026-10-01T11:36Z"),
        ("where", "awsRegion=us-east-1"),
        ("where", "eventName=DescribeInstances"),
        ("where", "eventSource=ec2.amazonaws.com"),
        ("where", "recipientAccountId=111122223333"),
    ]
    expect(page.locator(".own")).to_contain_text("it cannot be narrowed by account.")


def test_a_caller_of_an_incident_is_shown_in_it(open_page: Open, small: str) -> None:
    """A click on a caller shows its calls to that API in that time, throttled or not."""
    page = open_page(f"{small}?view=throttled")
    page.locator(".incidents .callers").get_by_role("link", name="user/ann").click()

    expect(page.locator(".legend li")).to_have_text(["ok28", "throttled1"])


def test_denials_are_shown_alone(open_page: Open, small: str) -> None:
    """No quota is behind a denied call: a click shows the denied calls of the row."""
    page = open_page(f"{small}?view=denied")
    page.locator(".incidents tbody").get_by_role("link", name="ec2: DescribeInstances").click()

    expect(page.locator(".legend li")).to_have_text(["user/bob 1111222233331"])
    assert ("since", "2026-10-01T12:10Z") in parse_qsl(urlsplit(page.url).query)
