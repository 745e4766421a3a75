"""
What happened, by the trail's own files, against what was published, by CloudWatch's sums.

What is missing can be published: events that CloudTrail never sends to CloudWatch Logs, or that
passed by while a subscription filter was disabled. What there is too much of, from an event in two
payloads, stays: CloudWatch takes nothing back.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Final

from msgspec import Struct

from apitracker import aws as clients
from apitracker.aws import Client, Metric, RefusedError
from apitracker.core.datums import NEWEST, Datum
from apitracker.core.metric_sets import API, OVERFLOW, USAGE
from apitracker.errors import ServiceError
from apitracker.jobs.publish import BATCH_SECONDS, InterruptedRunError
from apitracker.operations import deployment as stacks
from apitracker.operations import top_ups as notes
from apitracker.operations.top_ups import Key, Note, Notes
from apitracker.tracker.put_metric_data import (
    Batch,
    Published,
    UnpublishedError,
    publish,
    request,
)
from apitracker.tracker.retries import Clock, Poster

MINUTE: Final = 60
# Minutes are kept for 15 days; an hour less, so that none gets too old while they are asked for.
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html
READABLE: Final = 15 * 86_400 - 3_600  # seconds before now
# For each metric that is asked for: https://aws.amazon.com/cloudwatch/pricing
DOLLARS: Final = 0.01 / 1_000
# "At least 48 hours" until data of more than a day ago are shown.
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html
SHOWN: Final = 72 * 3_600  # seconds in which what was sent is waited for: a day to spare
# CloudTrail delivers late, and Lambda goes on trying for six hours with an event.
# https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-configuring.html
EXPECTED: Final = 6 * 3_600  # seconds in which the tracker itself may still publish a call

MISSING: Final = "missing"
TOO_MANY: Final = "too many"
SENT: Final = "sent, not visible yet"
AMONG_OTHERS: Final = f"in {OVERFLOW}"
WHATS: Final = (MISSING, TOO_MANY, SENT, AMONG_OTHERS)

FIELDS: Final = ("minute", *API.fields[:-1], "what", "happened", "published")
"""The columns of a difference, beside the difference itself."""


class Difference(Struct, frozen=True):
    """
    A metric's minute of which as many *calls* are *what*: missing, too many, and so on.

    *happened* and *published* are all calls of that minute.
    """

    key: Key
    what: str
    calls: int
    happened: int
    published: int

    @property
    def row(self) -> tuple[tuple[object, ...], int]:
        """The values of `FIELDS`, and by how much more was published than happened."""
        calls = self.calls if self.what == TOO_MANY else -self.calls
        return (*self.key, self.what, self.happened, self.published), calls


class Comparison(Struct, frozen=True):
    """
    What a comparison finds: the *equal* calls, and the *differences* by minute and metric.

    What happened = equal + missing + sent + among others.
    """

    equal: int
    differences: list[Difference]

    def calls(self, what: str) -> int:
        """How many calls are *what*."""
        return sum(each.calls for each in self.differences if each.what == what)


class Asking(Struct, frozen=True):
    """What CloudWatch is to be asked: the minutes of *metrics* from *start* to before *end*."""

    metrics: list[Metric]
    start: int
    end: int

    @property
    def requests(self) -> int:
        """How many requests that takes."""
        return -(-len(self.metrics) // clients.fitting(MINUTE, self.start, self.end))

    @property
    def dollars(self) -> float:
        """What AWS wants for it. Each metric is asked for once, as that is what costs."""
        return len(self.metrics) * DOLLARS


class Sums(Struct, frozen=True):
    """What CloudWatch has: calls by API, and those that are counted together as others."""

    published: dict[Key, int]
    others: dict[Key, int]


class Memory(Struct, frozen=True):
    """What was sent before, as *kept* says; None is that nothing remembers it."""

    kept: Notes | None = None
    found: dict[Key, Note] = {}

    def coming(self, now: float) -> dict[Key, int]:
        """Give the totals of minutes that CloudWatch need not show yet at *now*."""
        return {each: note.total for each, note in self.found.items() if now - note.at < SHOWN}


class TopUp(Struct, frozen=True):
    """A datum to be sent, and the *total* that its metric's minute has then."""

    datum: Datum
    total: int

    @property
    def key(self) -> Key:
        """The metric and the minute."""
        return key(self.datum)


# --- compared -----------------------------------------------------------------------------------


def key(datum: Datum) -> Key:
    """Name the metric and the minute of *datum*, which is one of the set `API`."""
    region, source = (dimension.value for dimension in datum.dimensions)
    return datum.timestamp, datum.metric_name, region, source


def comparable(batches: Iterable[Batch], now: float) -> tuple[dict[Key, Datum], int]:
    """
    Give what *batches* hold of the minutes that CloudWatch has, and count the calls of all others.

    *now* is in seconds since 1970.
    """
    found: dict[Key, Datum] = {}
    rest = 0
    for datum in (datum for batch in batches for datum in batch.datums):
        if now - READABLE <= datum.timestamp <= now + NEWEST:
            found[key(datum)] = datum
        else:
            rest += datum.calls
    return found, rest


def short(happened: Mapping[Key, Datum], sums: Sums) -> list[Key]:
    """Give the minutes of which CloudWatch shows fewer calls than *happened*."""
    return [each for each, datum in happened.items() if sums.published.get(each, 0) < datum.calls]


def compare(happened: Mapping[Key, Datum], sums: Sums, sent: Mapping[Key, int]) -> Comparison:
    """
    Compare the calls that *happened* with the *sums* of the same minutes.

    *sent* are the totals that minutes will have when CloudWatch shows what it was sent. What is
    missing beyond that is looked for among the others of its region and service, first for metrics
    that CloudWatch has nothing of: they are the ones beyond the budget.
    """
    counts = {each: datum.calls for each, datum in happened.items()}
    published, left = sums.published, Counter(sums.others)
    known = {each[1:] for each in published}
    equal = 0
    differences = []
    for each in sorted(counts.keys() | published.keys(), key=lambda k: (k[1:] in known, k)):
        has, shown = counts.get(each, 0), published.get(each, 0)
        equal += min(has, shown)
        coming = min(has, max(shown, sent.get(each, 0)))
        lacking = max(0, has - coming)
        other = _take(left, each, lacking)
        for what, calls in (
            (TOO_MANY, shown - has),
            (SENT, coming - shown),
            (AMONG_OTHERS, other),
            (MISSING, lacking - other),
        ):
            if calls > 0:
                differences.append(Difference(each, what, calls, has, shown))
    for each, calls in left.items():
        if calls:
            shown = sums.others[each]
            differences.append(Difference(each, TOO_MANY, calls, shown - calls, shown))
    return Comparison(equal, sorted(differences, key=lambda d: (d.key, d.what)))


def _take(left: Counter[Key], wanted: Key, most: int) -> int:
    """Take up to *most* calls out of the others that *wanted* may be among."""
    minute, _, region, source = wanted
    taken = 0
    for other in ((minute, OVERFLOW, region, source), (minute, OVERFLOW, OVERFLOW, OVERFLOW)):
        some = min(most - taken, left[other])
        left[other] -= some
        taken += some
    return taken


# --- asked of AWS -------------------------------------------------------------------------------


def asking(happened: Iterable[Key], namespace: str, cloudwatch: Client) -> Asking:
    """
    Say what to ask CloudWatch so that all that *happened*, and all that did not, can be compared.

    That is each metric of *happened* and each that is listed, from the first minute to the last.
    `ServiceError` if the metrics cannot be listed.
    """
    keys = set(happened)
    minutes = [each[0] for each in keys]
    dimensions = [{"Name": name} for name in API.dimensions]
    listed = [
        *clients.metrics(cloudwatch, namespace, Dimensions=dimensions),
        *clients.metrics(cloudwatch, namespace + USAGE, MetricName=OVERFLOW, Dimensions=dimensions),
    ]
    wanted = {each for each in listed if _names(each) == API.dimensions}
    for _, name, *values in keys:
        wanted.add(Metric(namespace, name, tuple(zip(API.dimensions, values, strict=True))))
    ordered = sorted(wanted, key=lambda m: (m.namespace, m.name, m.dimensions))
    return Asking(ordered, min(minutes), max(minutes) + MINUTE)


def ask(asking: Asking, namespace: str, cloudwatch: Client) -> Sums:
    """Ask CloudWatch for the sums. `ServiceError` if it does not answer."""
    found = Sums({}, {})
    answer = clients.sums(
        cloudwatch, asking.metrics, period=MINUTE, start=asking.start, end=asking.end
    )
    for metric, values in answer.items():
        region, source = (value for _, value in metric.dimensions)
        into = found.published if metric.namespace == namespace else found.others
        for minute, calls in values.items():
            into[minute, metric.name, region, source] = round(calls)
    return found


def recall(stack: str, namespace: str, keys: Sequence[Key], *, required: bool) -> Memory:
    """
    Find out what was sent of *keys* before: the ledger of *stack* remembers.

    `ServiceError` if the stack or its ledger cannot be asked, or there is no such stack and it is
    *required*.
    """
    try:
        table = stacks.describe(stack, clients.client("cloudformation")).resource(stacks.LEDGER)
    except RefusedError as e:
        if e.code != stacks.MISSING:
            raise
        if required:
            raise ServiceError(stacks.no_stack(stack)) from e
        table = ""
    if not table:
        return Memory()
    kept = Notes(table, clients.client("dynamodb"), namespace)
    return Memory(kept, notes.look_up(kept, keys))


def _names(metric: Metric) -> tuple[str, ...]:
    return tuple(name for name, _ in metric.dimensions)


# --- published ----------------------------------------------------------------------------------


def top_ups(
    comparison: Comparison, happened: Mapping[Key, Datum], now: float
) -> tuple[list[TopUp], int]:
    """
    Give what is to be sent so that nothing is missing; and how many calls are too fresh for that.

    The tracker itself may publish a call until it is `EXPECTED` old at *now*.
    """
    coming = Counter({each.key: each.calls for each in comparison.differences if each.what == SENT})
    ups = []
    fresh = 0
    for each in comparison.differences:
        if each.what != MISSING:
            continue
        if each.key[0] > now - EXPECTED:
            fresh += each.calls
        else:
            total = each.published + coming[each.key] + each.calls
            ups.append(TopUp(part(happened[each.key], each.calls), total))
    return ups, fresh


def part(datum: Datum, calls: int) -> Datum:
    """
    Give a datum of as many *calls* of *datum*: those of its quietest seconds.

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


def send(
    ups: Sequence[TopUp], namespace: str, poster: Poster, clock: Clock, memory: Memory
) -> Iterator[Published]:
    """
    Publish *ups*, and say batch by batch what became of them.

    Each batch is noted before it is sent, where *memory* keeps notes, and what surely was not taken
    is not noted any more after it. So it may be stopped anywhere and run again. `ServiceError` if
    a batch cannot be noted, or not be sent within `BATCH_SECONDS`.
    """
    for number, at in enumerate(range(0, len(ups), notes.MOST)):
        some = ups[at : at + notes.MOST]
        datums = tuple(up.datum for up in some)
        batch = Batch(f"reconciled.{number}", namespace, datums, request(namespace, datums))
        if memory.kept:
            now = int(clock.now())
            notes.write(memory.kept, {up.key: Note(up.total, now) for up in some}, memory.found)
        try:
            published = publish([batch], poster, clock, deadline=clock.now() + BATCH_SECONDS)
        except UnpublishedError as e:
            if not (e.in_doubt or e.published.in_doubt or e.published.requests):
                _withdraw(memory, datums)
            when = "" if memory.kept else ", when CloudWatch shows what was sent"
            raise InterruptedRunError(
                f"not all was published: {e.__cause__ or e}; run it again{when}"
            ) from e
        _withdraw(memory, [refusal.datum for refusal in published.refused])
        yield published


def _withdraw(memory: Memory, datums: Iterable[Datum]) -> None:
    """Forget that *datums* were sent. A note that cannot be withdrawn ends by itself."""
    if memory.kept:
        with suppress(ServiceError):
            notes.withdraw(memory.kept, [key(datum) for datum in datums], memory.found)
