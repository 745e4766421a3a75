"""The answers to the page: each of its figures is in one of them."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Second = Annotated[int, Field(description="Seconds since 1970-01-01T00:00Z.")]
Calls = Annotated[int, Field(description="Calls.")]


class Answer(BaseModel):
    """An answer."""

    model_config = ConfigDict(frozen=True)


class Fault(Answer):
    """The reason that there is no answer."""

    detail: Annotated[str, Field(description="The fault, and the way on.")]


class About(Answer):
    """The extent of the store."""

    store: Annotated[str, Field(description="The path of the store.")]
    exists: Annotated[bool, Field(description="Whether there is such a file yet.")]
    first: Annotated[Second | None, Field(description="The time of the first call.")]
    last: Annotated[Second | None, Field(description="The time of the last call.")]
    logs: Annotated[int, Field(description="Logs that were read.")]
    calls: Calls
    version: Annotated[str, Field(description="The version of apitracker.")]
    fields: Annotated[list[str], Field(description="The fields that by and where take.")]
    eventsKept: Annotated[
        int, Field(description="Events that are known by their eventID, and so count once.")
    ]
    origin: Annotated[
        str,
        Field(
            description="The origin of the calls: real, synthetic (apitracker sample) or mixed;"
            " empty where there are none."
        ),
    ]


class HeadlineFigures(Answer):
    """Headline figures of a time."""

    calls: Calls
    peak: Annotated[int, Field(description="Calls in the busiest second.")]
    peakSecond: Annotated[
        Second | None, Field(description="The busiest second, the first of several.")
    ]
    failed: Annotated[int, Field(description="Calls with an error of another kind.")]
    throttled: Annotated[int, Field(description="Calls that were throttled.")]
    denied: Annotated[int, Field(description="Calls that were denied.")]
    apis: Annotated[int, Field(description="Distinct eventSource and eventName.")]
    callers: Annotated[int, Field(description="Distinct callers.")]
    accounts: Annotated[int, Field(description="Distinct recipientAccountIds.")]
    regions: Annotated[int, Field(description="Distinct awsRegions.")]


class Summary(Answer):
    """Headline figures of the chosen time, and of as long a time before it."""

    since: Annotated[Second | None, Field(description="The time begins here; null: no calls.")]
    until: Annotated[Second | None, Field(description="The time ends before this.")]
    now: Annotated[HeadlineFigures, Field(description="The figures of that time.")]
    before: Annotated[
        HeadlineFigures | None,
        Field(
            description="The figures of as long a time just before; null where since was not given"
            " or the first call in the store is on a later day than that time begins."
        ),
    ]


class NamedSeries(Answer):
    """Calls of one value over time."""

    name: Annotated[str | None, Field(description="The value; null: all others together.")]
    calls: Annotated[list[int], Field(description="Calls in each step.")]


class CallsOverTime(Answer):
    """Calls over time, stacked by a field."""

    step: Annotated[int, Field(description="The length of a step, in seconds.")]
    times: Annotated[list[int], Field(description="The start of each step, at most 400.")]
    series: Annotated[
        list[NamedSeries], Field(description="Most calls first; all others together come last.")
    ]
    throttled: Annotated[list[int], Field(description="Throttled calls in each step.")]
    denied: Annotated[list[int], Field(description="Denied calls in each step.")]


class Threshold(Answer):
    """
    A threshold that the chosen time suggests for an alarm by the minute, or by the hour.

    Minutes and hours are whole, also those in which the chosen time begins and ends.
    """

    above: Annotated[
        int | None,
        Field(
            description="An alarm fires at more calls than these: the calls of the busiest minute"
            " in which none was throttled. 0 where throttled or denied calls are counted; null"
            " where there is no such minute."
        ),
    ]
    at: Annotated[Second | None, Field(description="The start of that minute.")]
    most: Annotated[int, Field(description="Calls in the busiest minute of all.")]
    throttledOrDenied: Annotated[
        int,
        Field(
            description="How many minutes have a throttled call; a denied one where denied calls"
            " are counted."
        ),
    ]
    exceeded: Annotated[int, Field(description="How many minutes have more calls than above.")]


class Thresholds(Answer):
    """Thresholds for an alarm, and the number of metrics that it watches."""

    minute: Threshold
    hour: Threshold
    regions: Annotated[
        int, Field(description="In how many regions there are such calls: each is a metric.")
    ]


class TopRow(Answer):
    """A row of a table."""

    key: Annotated[
        dict[str, str | int],
        Field(description="The row's fields; a time is the second at which it begins."),
    ]
    calls: Calls
    throttled: Annotated[int, Field(description="Calls that were throttled.")]
    denied: Annotated[int, Field(description="Calls that were denied.")]
    failed: Annotated[int, Field(description="Calls with an error of another kind.")]
    spark: Annotated[
        list[int],
        Field(
            description="Calls in equal parts of the chosen time, at most 40: whole minutes or days"
            " where it is that long. None where by has a time."
        ),
    ]


class TopRows(Answer):
    """Rows of a table."""

    total: Annotated[int, Field(description="How many rows there are in all.")]
    rows: Annotated[list[TopRow], Field(description="The rows that were asked for.")]


class WorstTime(Answer):
    """The second or minute with most throttled, or denied, calls, the first of several."""

    at: Annotated[Second, Field(description="Its start.")]
    calls: Annotated[int, Field(description="Calls in it that were throttled, or denied.")]
    made: Annotated[int, Field(description="All calls in it.")]


class CallerShare(Answer):
    """A caller of an API in the minutes in which calls to it were throttled, or denied."""

    caller: Annotated[str, Field(description="Who called.")]
    calls: Calls
    throttled: Annotated[int, Field(description="How many of them were throttled, or denied.")]
    share: Annotated[
        float,
        Field(description="Of all calls to it where it was throttled, else of all denied calls."),
    ]


class OutsideCaller(Answer):
    """A caller whose calls do not count toward the quota, such as a service-linked role to EC2."""

    caller: Annotated[str, Field(description="The role or the service.")]
    calls: Annotated[int, Field(description="Calls to the API.")]
    throttled: Annotated[int, Field(description="How many of them were throttled, or denied.")]


class ApiIncident(Answer):
    """Calls to one API in one region and account that were throttled, or denied."""

    eventSource: Annotated[str, Field(description="The API's service.")]
    eventName: Annotated[str, Field(description="The API's name.")]
    awsRegion: Annotated[str, Field(description="Where it was called.")]
    recipientAccountId: Annotated[str, Field(description="The account.")]
    calls: Annotated[int, Field(description="Calls that were throttled, or denied.")]
    made: Annotated[int, Field(description="All calls to it in the minutes of those calls.")]
    first: Annotated[Second, Field(description="The first of the throttled, or denied, calls.")]
    last: Annotated[Second, Field(description="The last of them.")]
    worstSecond: Annotated[
        WorstTime | None,
        Field(description="None where all of it was outside of a quota, or by AWS."),
    ]
    worstMinute: Annotated[WorstTime | None, Field(description="None where worstSecond is.")]
    callers: Annotated[
        list[CallerShare], Field(description="The callers behind it, greatest share first.")
    ]
    outsideQuota: Annotated[
        list[OutsideCaller],
        Field(description="The callers that do not use up its quota, if known."),
    ]
    awsTriggered: Annotated[
        int, Field(description="Calls that were throttled for an operational issue of AWS.")
    ]
    defaultQuota: Annotated[
        list[str],
        Field(description="The quota that AWS documents, in words, and its page; mostly none."),
    ]


class RejectedRecord(Answer):
    """A record that could not be counted."""

    log: Annotated[str, Field(description="The log that it is in.")]
    place: Annotated[str, Field(description="Its place in the log.")]
    reason: Annotated[str, Field(description="Why it could not be counted.")]


class UnreadLog(Answer):
    """A log that could not be read."""

    log: Annotated[str, Field(description="Its name.")]
    fault: Annotated[str, Field(description="Why it could not be read.")]


class RecordBalance(Answer):
    """
    The balance of all records in the store.

    received = counted + duplicates + rejected + the sum of skipped.
    """

    logs: Annotated[int, Field(description="Logs that were read.")]
    received: Annotated[int, Field(description="Records in them.")]
    counted: Annotated[int, Field(description="Records that are in the counts.")]
    duplicates: Annotated[int, Field(description="Records of an event that was counted before.")]
    skipped: Annotated[dict[str, int], Field(description="Records that are not calls, by kind.")]
    rejected: Annotated[int, Field(description="Records that could not be counted.")]
    rejections: Annotated[list[RejectedRecord], Field(description="The first 200 of them.")]
    unreadable: Annotated[int, Field(description="Logs that could not be read.")]
    unread: Annotated[list[UnreadLog], Field(description="The first 200 of them.")]
    fault: Annotated[
        str | None,
        Field(description="The sums that differ, and the way on; null where all agree."),
    ]
