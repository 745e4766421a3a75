"""
Reconcile: compare the calls in the trail's own files with CloudWatch's sums.

Missing calls can be published: events that CloudTrail never sends to CloudWatch Logs, or that
passed by while a subscription filter was disabled. Calls that are too many, from an event in two
payloads, stay: CloudWatch takes nothing back.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from enum import Enum
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from apitracker.aws import Client, RefusedError
from apitracker.core.datums import NEWEST, Datum
from apitracker.core.metric_sets import API, OVERFLOW, USAGE, parse_names
from apitracker.core.selection import Selection, parse_selection
from apitracker.errors import ServiceError, UsageError
from apitracker.jobs.publish import SECONDS_PER_BATCH, InterruptedRunError
from apitracker.operations.cloudwatch import Metric, get_sums, list_metrics, metrics_per_request
from apitracker.operations.deployment import MakeClient, NotDeployedError, find
from apitracker.operations.top_ups import (
    TOP_UPS_AT_ONCE,
    MetricMinute,
    TopUpRecord,
    TopUpRecords,
    read_top_ups,
    withdraw_top_ups,
    write_top_ups,
)
from apitracker.settings import Settings
from apitracker.tracker.put_metric_data import (
    Batch,
    Published,
    UnpublishedError,
    publish,
    request,
)
from apitracker.tracker.retries import Clock, Poster

MINUTE_SECONDS: Final = 60
# Minutes are kept for 15 days; an hour less, so that none gets too old while they are asked for.
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html
READABLE: Final = 15 * 86_400 - 3_600  # seconds before now
# For each metric that is asked for: https://aws.amazon.com/cloudwatch/pricing
DOLLARS_PER_METRIC: Final = 0.01 / 1_000
# "At least 48 hours" until data of more than a day ago are shown.
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html
VISIBLE: Final = 72 * 3_600  # seconds until sent calls have to be visible: a day to spare
# CloudTrail delivers late, and Lambda goes on trying for six hours with an event.
# https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-configuring.html
EXPECTED: Final = 6 * 3_600  # seconds in which the tracker itself may still publish a call

DIFFERENCE_FIELDS: Final = ("minute", *API.fields[:-1], "what", "happened", "published")
"""The columns of a `Difference`, beside the difference itself: the set `API` ends in a second."""


class DifferenceKind(Enum):
    """The kinds of differences, by their names in a table."""

    MISSING = "missing"
    TOO_MANY = "too many"
    SENT = "sent, not visible yet"
    IN_OVERFLOW = f"in {OVERFLOW}"


class Difference(Struct, frozen=True):
    """
    Calls of one *kind* in one metric's minute.

    *happened* and *published* are all calls of that minute.
    """

    minute: MetricMinute
    kind: DifferenceKind
    calls: int
    happened: int
    published: int

    @property
    def row(self) -> tuple[tuple[object, ...], int]:
        """The values of `DIFFERENCE_FIELDS`, and by how much more was published than happened."""
        calls = self.calls if self.kind is DifferenceKind.TOO_MANY else -self.calls
        return (*self.minute, self.kind.value, self.happened, self.published), calls


class Comparison(Struct, frozen=True):
    """
    The *equal* calls, and the *differences* by minute and metric.

    The calls that happened = equal + missing + sent + in the overflow.
    """

    equal: int
    differences: list[Difference]

    def calls(self, kind: DifferenceKind) -> int:
        """Return how many calls are of *kind*."""
        return sum(each.calls for each in self.differences if each.kind is kind)


class SumsQuery(Struct, frozen=True):
    """The question to CloudWatch: the minutes of *metrics* from *start* to before *end*."""

    metrics: list[Metric]
    start: int
    end: int

    @property
    def requests(self) -> int:
        """How many requests it takes."""
        return -(-len(self.metrics) // metrics_per_request(MINUTE_SECONDS, self.start, self.end))

    @property
    def dollars(self) -> float:
        """Its price: each metric is requested once, and paid for."""
        return len(self.metrics) * DOLLARS_PER_METRIC


class PublishedCalls(Struct, frozen=True):
    """CloudWatch's calls: *by_api*, and those in the *overflow* of the budget."""

    by_api: Mapping[MetricMinute, int]
    overflow: Mapping[MetricMinute, int]


class SentBefore(Struct, frozen=True):
    """The top-ups that earlier runs sent, as *records* keep them, or None if there are none."""

    records: TopUpRecords | None = None
    found: Mapping[MetricMinute, TopUpRecord] = {}

    def not_visible(self, now: float) -> dict[MetricMinute, int]:
        """Return the totals of minutes that CloudWatch need not show yet at *now*."""
        return {each: top.total for each, top in self.found.items() if now - top.at < VISIBLE}


class TopUp(Struct, frozen=True):
    """A datum to be sent, and the *total* that its metric's minute has then."""

    datum: Datum
    total: int

    @property
    def minute(self) -> MetricMinute:
        """The metric and the minute."""
        return minute_of(self.datum)


class Reconciled(Struct, frozen=True):
    """
    The result of reconciling.

    *top_ups* are the datums to send so that nothing is missing; *fresh* are missing calls that the
    tracker itself may still publish. *unknown* is the reason why earlier top-ups are not known.
    """

    comparison: Comparison
    sent_before: SentBefore
    top_ups: list[TopUp]
    fresh: int
    unknown: str = ""


# --- the job ------------------------------------------------------------------------------------


def comparable_settings(settings: Settings) -> Settings:
    """Return *settings* with the set `API` alone. `UsageError` if the tracker leaves it out."""
    if API.name not in parse_names(settings.metrics):
        raise UsageError("the metric set api is compared, which APITRACKER_METRICS leaves out")
    return replace(settings, metrics=API.name)


def whole_minutes(since: int | None, until: int | None) -> Selection:
    """Select the whole minutes from *since* to *until*. `UsageError` if there are none."""
    since = None if since is None else -(-since // MINUTE_SECONDS) * MINUTE_SECONDS
    until = None if until is None else until // MINUTE_SECONDS * MINUTE_SECONDS
    return parse_selection(since, until, ())


def reconcile_calls(  # noqa: PLR0913 - the calls, with what they are compared, and how
    happened: Mapping[MetricMinute, Datum],
    namespace: str,
    tracker: str,
    client: MakeClient,
    clock: Clock,
    *,
    is_named: bool,
    publishing: bool,
    announce: Callable[[SumsQuery], None] = lambda _: None,
) -> Reconciled:
    """
    Compare the calls that *happened* with CloudWatch's sums in *namespace*.

    *announce* is called before CloudWatch is asked, which costs money. The ledger of *tracker*
    knows earlier top-ups: *is_named* requires that this tracker exists, *publishing* that its
    ledger can be read. `ServiceError` if AWS cannot be asked.
    """
    cloudwatch = client("cloudwatch")
    query = plan_sums_query(happened, namespace, cloudwatch)
    announce(query)
    published = get_published_calls(query, namespace, cloudwatch)
    before, unknown = SentBefore(), ""
    if lacking := find_lacking(happened, published):
        try:
            before = read_sent_before(tracker, namespace, lacking, client, is_named=is_named)
        except RefusedError as e:
            if publishing:
                raise
            unknown = str(e)
    now = clock.now()
    comparison = compare(happened, published, before.not_visible(now))
    top_ups, fresh = make_top_ups(comparison, happened, now)
    return Reconciled(comparison, before, top_ups, fresh, unknown)


# --- compared -----------------------------------------------------------------------------------


def minute_of(datum: Datum) -> MetricMinute:
    """Return the metric and the minute of *datum*, a datum of the set `API`."""
    region, source = (dimension.value for dimension in datum.dimensions)
    return MetricMinute(datum.timestamp, datum.metric_name, region, source)


def comparable_datums(
    batches: Iterable[Batch], now: float
) -> tuple[dict[MetricMinute, Datum], int]:
    """
    Return the datums of *batches* in minutes that CloudWatch has, and count the calls in others.

    *now* is in seconds since 1970.
    """
    found: dict[MetricMinute, Datum] = {}
    rest = 0
    for datum in (datum for batch in batches for datum in batch.datums):
        if now - READABLE <= datum.timestamp <= now + NEWEST:
            found[minute_of(datum)] = datum
        else:
            rest += datum.calls
    return found, rest


def find_lacking(
    happened: Mapping[MetricMinute, Datum], published: PublishedCalls
) -> list[MetricMinute]:
    """Return the minutes in which CloudWatch shows fewer calls than *happened*."""
    shown = published.by_api
    return [each for each, datum in happened.items() if shown.get(each, 0) < datum.calls]


def compare(
    happened: Mapping[MetricMinute, Datum],
    published: PublishedCalls,
    sent: Mapping[MetricMinute, int],
) -> Comparison:
    """
    Compare the calls that *happened* with those *published* in the same minutes.

    *sent* are the totals that minutes will have when CloudWatch shows the earlier top-ups. Calls
    that are missing beyond that are looked for in the overflow of their region and service, first
    for metrics that CloudWatch has nothing of: they are the ones beyond the budget.
    """
    counts = {each: datum.calls for each, datum in happened.items()}
    by_api, left = published.by_api, Counter(published.overflow)
    known = {_metric(each) for each in by_api}
    equal = 0
    differences = []
    for each in sorted(counts.keys() | by_api.keys(), key=lambda m: (_metric(m) in known, m)):
        has, shown = counts.get(each, 0), by_api.get(each, 0)
        equal += min(has, shown)
        coming = min(has, max(shown, sent.get(each, 0)))
        lacking = max(0, has - coming)
        overflow = _take(left, each, lacking)
        for kind, calls in (
            (DifferenceKind.TOO_MANY, shown - has),
            (DifferenceKind.SENT, coming - shown),
            (DifferenceKind.IN_OVERFLOW, overflow),
            (DifferenceKind.MISSING, lacking - overflow),
        ):
            if calls > 0:
                differences.append(Difference(each, kind, calls, has, shown))
    for each, calls in left.items():
        if calls:
            shown = published.overflow[each]
            differences.append(
                Difference(each, DifferenceKind.TOO_MANY, calls, shown - calls, shown)
            )
    return Comparison(equal, sorted(differences, key=lambda d: (d.minute, d.kind.value)))


def _metric(minute: MetricMinute) -> tuple[str, str, str]:
    return minute.event_name, minute.aws_region, minute.event_source


def _take(left: Counter[MetricMinute], wanted: MetricMinute, most: int) -> int:
    """Take up to *most* calls out of the overflow that *wanted* may be in."""
    taken = 0
    for overflow in (
        wanted._replace(event_name=OVERFLOW),
        MetricMinute(wanted.minute, OVERFLOW, OVERFLOW, OVERFLOW),
    ):
        some = min(most - taken, left[overflow])
        left[overflow] -= some
        taken += some
    return taken


# --- asked of AWS -------------------------------------------------------------------------------


def plan_sums_query(
    happened: Iterable[MetricMinute], namespace: str, cloudwatch: Client
) -> SumsQuery:
    """
    Plan the question to CloudWatch that covers all calls, those that did not happen too.

    It has each metric of *happened* and each that is listed, from the first minute to the last.
    `ServiceError` if the metrics cannot be listed.
    """
    minutes = set(happened)
    starts = [each.minute for each in minutes]
    dimensions = [{"Name": name} for name in API.dimensions]
    listed = [
        *list_metrics(cloudwatch, namespace, Dimensions=dimensions),
        *list_metrics(cloudwatch, namespace + USAGE, MetricName=OVERFLOW, Dimensions=dimensions),
    ]
    wanted = {each for each in listed if tuple(dict(each.dimensions)) == API.dimensions}
    for each in minutes:
        values = (each.aws_region, each.event_source)
        pairs = tuple(zip(API.dimensions, values, strict=True))
        wanted.add(Metric(namespace, each.event_name, pairs))
    return SumsQuery(sorted(wanted), min(starts), max(starts) + MINUTE_SECONDS)


def get_published_calls(query: SumsQuery, namespace: str, cloudwatch: Client) -> PublishedCalls:
    """Return CloudWatch's calls for *query*. `ServiceError` if it does not answer."""
    by_api: dict[MetricMinute, int] = {}
    overflow: dict[MetricMinute, int] = {}
    sums = get_sums(
        cloudwatch, query.metrics, period=MINUTE_SECONDS, start=query.start, end=query.end
    )
    for metric, values in sums.items():
        region, source = (value for _, value in metric.dimensions)
        into = by_api if metric.namespace == namespace else overflow
        for start, calls in values.items():
            into[MetricMinute(start, metric.name, region, source)] = round(calls)
    return PublishedCalls(by_api, overflow)


def read_sent_before(
    tracker: str,
    namespace: str,
    minutes: Sequence[MetricMinute],
    client: MakeClient,
    *,
    is_named: bool,
) -> SentBefore:
    """
    Read the earlier top-ups of *minutes* in the ledger of *tracker*.

    `ServiceError` if the tracker or its ledger cannot be asked, or *is_named* and there is no such
    tracker.
    """
    try:
        table = find(tracker, client).ledger
    except NotDeployedError:
        if is_named:
            raise
        return SentBefore()
    if not table:
        return SentBefore()
    records = TopUpRecords(table, client("dynamodb"), namespace)
    return SentBefore(records, read_top_ups(records, minutes))


# --- published ----------------------------------------------------------------------------------


def make_top_ups(
    comparison: Comparison, happened: Mapping[MetricMinute, Datum], now: float
) -> tuple[list[TopUp], int]:
    """
    Make the top-ups after which nothing is missing, and count the calls too fresh for that.

    The tracker itself may publish a call until it is `EXPECTED` old at *now*.
    """
    differences = comparison.differences
    coming = Counter(
        {each.minute: each.calls for each in differences if each.kind is DifferenceKind.SENT}
    )
    top_ups = []
    fresh = 0
    for each in differences:
        if each.kind is not DifferenceKind.MISSING:
            continue
        if each.minute.minute > now - EXPECTED:
            fresh += each.calls
        else:
            total = each.published + coming[each.minute] + each.calls
            top_ups.append(TopUp(take_quietest(happened[each.minute], each.calls), total))
    return top_ups, fresh


def take_quietest(datum: Datum, calls: int) -> Datum:
    """
    Return a datum of so many *calls* of *datum*: those of its quietest seconds.

    So no second is busier than the files show.
    """
    seconds = []
    for value, count in sorted(zip(datum.values, datum.counts, strict=True)):
        whole = min(count, calls // value)
        seconds += [value] * whole
        calls -= value * whole
        if whole < count:
            break
    if not calls and len(seconds) == sum(datum.counts):
        return datum
    tally = Counter(seconds + [calls] * bool(calls))
    return Datum(
        datum.metric_name, datum.dimensions, datum.timestamp, list(tally), list(tally.values())
    )


def send_top_ups(
    top_ups: Sequence[TopUp], namespace: str, poster: Poster, clock: Clock, before: SentBefore
) -> Iterator[Published]:
    """
    Publish *top_ups*, and return the outcome batch by batch.

    Each batch is recorded before it is sent, where there is a ledger, and the record of datums
    that were surely not taken is withdrawn after it. So it may be stopped anywhere and run again.
    `ServiceError` if a batch cannot be recorded, or not be sent within `SECONDS_PER_BATCH`.
    """
    for number, at in enumerate(range(0, len(top_ups), TOP_UPS_AT_ONCE)):
        some = top_ups[at : at + TOP_UPS_AT_ONCE]
        datums = tuple(each.datum for each in some)
        batch = Batch(f"reconciled.{number}", namespace, datums, request(namespace, datums))
        if before.records:
            now = int(clock.now())
            new = {each.minute: TopUpRecord(each.total, now) for each in some}
            write_top_ups(before.records, new, before.found)
        try:
            published = publish([batch], poster, clock, deadline=clock.now() + SECONDS_PER_BATCH)
        except UnpublishedError as e:
            if not (e.in_doubt or e.published.in_doubt or e.published.requests):
                _withdraw(before, datums)
            when = "" if before.records else ", when CloudWatch shows what was sent"
            raise InterruptedRunError(
                f"not all was published: {e.__cause__ or e}; run it again{when}"
            ) from e
        _withdraw(before, [refusal.datum for refusal in published.refused])
        yield published


def _withdraw(before: SentBefore, datums: Iterable[Datum]) -> None:
    """Withdraw the records of *datums*. A record that cannot be withdrawn expires by itself."""
    if before.records:
        with suppress(ServiceError):
            withdraw_top_ups(before.records, map(minute_of, datums), before.found)
