"""
What is done with one subscription event: its calls are counted, and published once.

A log is counted, its metrics are held against the budget, it is claimed in the ledger, its pages
are sent and marked. What must not be lost ends as an error: whoever delivered the event delivers
it again.
"""

from collections import Counter
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from typing import Any, Final, Protocol

import msgspec
from msgspec import Struct

from apitracker.account.budget import Alarmed, Budget, Series, always
from apitracker.account.ledger import Claim, Decision, HeldError, Ledger, claim
from apitracker.account.publish import PATIENCE, Published, UnpublishedError, publish
from apitracker.account.retries import Clock, Poster
from apitracker.core.envelopes import subscription
from apitracker.core.metrics import API, OTHERS, Page, Rules, api, choose, others, paginate
from apitracker.core.model import Log, Rejected
from apitracker.core.records import parts
from apitracker.core.selection import parse_where
from apitracker.core.tally import Row, rows
from apitracker.errors import ServiceError, SettingsError, UsageError
from apitracker.settings import PREFIX, Settings

MARGIN_SECONDS: Final = 2.0  # kept of the time, to say what became of a log and give it back

# What tracking itself calls. A trail may log them: without leaving them out, each payload would
# make calls that make the next payload, for ever.
OWN_CALLS: Final = frozenset(
    {
        ("dynamodb.amazonaws.com", "GetItem"),
        ("dynamodb.amazonaws.com", "UpdateItem"),
        ("monitoring.amazonaws.com", "DescribeAlarms"),
        ("monitoring.amazonaws.com", "PutMetricData"),
    }
)
IN_DOUBT: Final = "in doubt"  # a note that a page may have been counted twice
OWN_NAMES: Final = frozenset(name for _, name in OWN_CALLS)
GIVE_BACK_SECONDS: Final = 1.0  # of the margin
OTHER_OTHERS: Final = (OTHERS, OTHERS, OTHERS)  # beyond the budget of others too


class Tracker(Struct, frozen=True):
    """All that tracking needs from outside, handed over once."""

    settings: Settings
    rules: Rules
    poster: Poster
    clock: Clock
    ledger: Ledger | None
    budget: Budget
    others: Budget


class Note(Protocol):
    """What is told, while it happens, what a log must say even if nothing else comes after it."""

    def __call__(self, message: str, /, **facts: object) -> None:
        """Write it down."""


class Counts(Struct):
    """What a log holds, and how often; the records balance."""

    received: int = 0
    counted: int = 0
    duplicates: int = 0
    skipped: Counter[str] = msgspec.field(default_factory=Counter)
    rejected: list[Rejected] = msgspec.field(default_factory=list)
    rows: Counter[Row] = msgspec.field(default_factory=Counter)


class Tracked(Struct, frozen=True):
    """
    What became of a log.

    *excluded* are calls that a rule, or being our own, keeps from being published, *others* those
    that are counted together beyond the budget. *before* says that all of it was published by an
    earlier delivery; then nothing of it was now.
    """

    log: Log
    counts: Counts
    published: Published
    pages: int = 0
    excluded: int = 0
    others: int = 0
    before: bool = False


def assemble(settings: Settings, cloudwatch: Poster, dynamodb: Poster, clock: Clock) -> Tracker:
    """Build a tracker by *settings*. `SettingsError` names the one that cannot be read."""
    metrics = api(settings.namespace)
    keep = _where("KEEP", settings.keep)
    if strange := keep.keys() - {*API.fields[:-1]}:
        raise SettingsError(
            f"APITRACKER_KEEP: {', '.join(sorted(strange))} is not in the name or dimensions of a "
            f"metric: choose from {', '.join(API.fields[:-1])}"
        )
    alarmed = Alarmed(cloudwatch, clock, settings.namespace, metrics.dimensions)
    return Tracker(
        settings,
        rules(settings.include, settings.exclude),
        cloudwatch,
        clock,
        Ledger(settings.ledger, dynamodb, clock) if settings.ledger else None,
        Budget(metrics.name, settings.budget, always(keep, API.fields[:-1], alarmed)),
        Budget("other", max(1, settings.budget // 10)),
    )


def rules(include: str, exclude: str) -> Rules:
    """Read the rules of settings. `SettingsError` names the one that is none."""
    return Rules(_where("INCLUDE", include), _where("EXCLUDE", exclude))


def track(
    event: Mapping[str, Any], tracker: Tracker, *, claimant: str, until: float, note: Note
) -> Tracked | None:
    """
    Publish what *event* holds and has not been published, and say what became of it.

    *claimant* names this attempt, and no other; *until*, in seconds since 1970, is when it ends,
    whatever it has done. None for a control message. `LogError` for an event that is no log,
    `ServiceError` for what could not be published.
    """
    log = subscription(event, max_bytes=tracker.settings.max_log_bytes)
    if log is None:
        return None
    deadline = until - MARGIN_SECONDS
    counts, kept = count(log, tracker.rules, tracker.settings.own_role)
    if not kept:
        # And no claim: with a log that holds nothing but our own calls they end.
        return Tracked(log, counts, Published(), excluded=counts.counted)
    decision, claimed = _begin(log, kept, tracker, claimant, until=until, note=note)
    if claimed and claimed.finished:
        return Tracked(log, counts, Published(), before=True)
    if decision.rules != (tracker.settings.include, tracker.settings.exclude):
        # Settings have changed since the log was first claimed: what was decided then stays.
        counts, kept = count(log, rules(*decision.rules), tracker.settings.own_role)
    pages, beyond = cut_pages(kept, decision)

    def doubt(page: Page) -> None:
        note(IN_DOUBT, log=log.id, page=page.id, calls=page.calls)

    if tracker.ledger and not claimed:
        for page in pages:
            doubt(page)
    try:
        published = publish(
            pages,
            tracker.poster,
            tracker.clock,
            deadline=deadline,
            marks=claimed,
            hold=tracker.settings.ledger_down == "hold",
            doubt=doubt,
        )
    except UnpublishedError as e:
        if claimed and not e.in_doubt:
            with suppress(ServiceError):  # it ends by itself
                claimed.give_back(deadline=deadline + GIVE_BACK_SECONDS)
        raise
    excluded = counts.counted - sum(kept.values())
    return Tracked(log, counts, published, len(pages), excluded, beyond)


def count(log: Log, rules: Rules, own_role: str) -> tuple[Counts, Mapping[Row, int]]:
    """
    Count the calls of *log*, each eventID once, and give those to be published, as `API` has them.

    Left out is what *rules* exclude, and what *own_role* called in order to track.
    """
    fields = (*API.fields, *rules.fields)
    counts = _read(log, fields)
    called = {row[0] for row in counts.rows}
    if own_role and isinstance(log.body, list) and not OWN_NAMES.isdisjoint(called):
        # Few logs hold such calls at all, and few records of those are ours.
        named = [text for text in log.body if own_role in text]
        ours = _read(Log(log.id, log.name, named), (*fields, "caller")).rows
        counts.rows -= Counter(
            {
                row[:-1]: n
                for row, n in ours.items()
                if row[-1] == own_role and (row[2], row[0]) in OWN_CALLS
            }
        )
    kept, _ = choose(counts.rows, fields, API, rules)
    return counts, kept


def cut_pages(kept: Mapping[Row, int], decision: Decision) -> tuple[list[Page], int]:
    """Cut *kept* into pages as was decided; and say how many calls are counted as others."""
    metrics = api(decision.namespace)
    if not decision.others:
        return paginate(kept, metrics), 0
    beyond = _marked(decision.others, {row[:-1] for row in kept})
    further = _marked(decision.further, {_other(each) for each in beyond})
    moved: Counter[Row] = Counter()
    for row, n in kept.items():
        if row[:-1] in beyond:
            other = _other(row[:-1])
            moved[(*(OTHER_OTHERS if other in further else other), row[-1])] += n
    stay = {row: n for row, n in kept.items() if row[:-1] not in beyond}
    pages = [*paginate(stay, metrics), *paginate(moved, others(decision.namespace))]
    return pages, moved.total()


def _where(name: str, text: str) -> dict[str, tuple[str, ...]]:
    try:
        return parse_where(text.split())
    except UsageError as e:
        raise SettingsError(f"{PREFIX}{name}: {e}") from e


def _read(log: Log, fields: tuple[str, ...]) -> Counts:
    """Decode *log* and count its calls by *fields*, each eventID once."""
    counts = Counts()
    for part in parts(log, fields=fields):
        counts.received += part.received
        counts.counted += len(part.calls)
        counts.duplicates += len(part.duplicates)
        counts.skipped.update(part.skipped)
        counts.rejected += part.rejected
        counts.rows.update(rows(part.calls, fields))
    return counts


def _begin(  # noqa: PLR0913 - what a claim is made of
    log: Log, kept: Mapping[Row, int], tracker: Tracker, claimant: str, *, until: float, note: Note
) -> tuple[Decision, Claim | None]:
    """Decide what becomes of *log*, and claim it where there is a ledger."""
    deadline = until - MARGIN_SECONDS
    if tracker.ledger is None:
        return _decide(kept, tracker, None, deadline), None
    hold = tracker.settings.ledger_down == "hold"
    by = deadline if hold else min(deadline, tracker.clock.now() + PATIENCE)
    try:
        decision = _decide(kept, tracker, tracker.ledger, by)
        claimed = claim(
            tracker.ledger, log.id, decision, claimant=claimant, until=until, deadline=by
        )
    except HeldError:
        raise
    except ServiceError as e:
        if hold:
            raise
        note("published without the ledger", log=log.id, fault=str(e))
        return _decide(kept, tracker, None, deadline), None
    return claimed.decision, claimed


def _decide(
    kept: Mapping[Row, int], tracker: Tracker, ledger: Ledger | None, deadline: float
) -> Decision:
    """Hold the metrics of *kept* against the budget."""
    now = tracker.clock.now()
    settings = tracker.settings
    series = {row[:-1] for row in kept}
    beyond = tracker.budget.beyond(series, ledger, now=now, deadline=deadline)
    moved = {_other(each) for each in beyond}
    further = tracker.others.beyond(moved, ledger, now=now, deadline=deadline)
    return Decision(
        int(now),
        settings.namespace,
        settings.include,
        settings.exclude,
        _bits(beyond, series),
        _bits(further, moved),
    )


def _other(series: Series) -> Series:
    """Give the metric that stands for *series* beyond the budget: its name is left out."""
    return (OTHERS, *series[1:])


def _bits(some: AbstractSet[Series], among: AbstractSet[Series]) -> bytes:
    """Write *some* as one bit for each of *among*, in their order; nothing if there are none."""
    if not some:
        return b""
    number = sum(1 << at for at, each in enumerate(sorted(among)) if each in some)
    return number.to_bytes(len(among) // 8 + 1, "little")


def _marked(bits: bytes, among: AbstractSet[Series]) -> set[Series]:
    """Read what `_bits` wrote."""
    number = int.from_bytes(bits, "little")
    return {each for at, each in enumerate(sorted(among)) if number >> at & 1}
