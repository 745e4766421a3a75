"""
Tracking: count the calls of one log, and publish them once.

A log is counted, its series are held against the budget, it is cut into batches and claimed in the
ledger, and its batches are sent and marked. Where calls would be lost an error is raised, so that
the log is delivered again.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final, NamedTuple, Protocol

from msgspec import Struct
from msgspec.structs import replace

from apitracker.core.counting import Counted, Query, merge, read_log
from apitracker.core.metric_sets import (
    SETS,
    CountsBySet,
    MetricSelection,
    MetricSet,
    Series,
    SeriesCounts,
    count_by_set,
    parse_names,
    require_sets,
)
from apitracker.core.model import Log
from apitracker.core.overflow import (
    from_bits,
    overflow_budget,
    overflow_series,
    overflow_set,
    split_overflow,
    to_bits,
)
from apitracker.core.own_calls import Own
from apitracker.core.selection import parse_where
from apitracker.errors import ServiceError, SettingsError, UsageError
from apitracker.settings import PREFIX, Settings
from apitracker.tracker.budget import AlarmedMetrics, Budget, exemptions
from apitracker.tracker.ledger import VERSION, Claim, Decision, HeldError, Ledger, claim
from apitracker.tracker.put_metric_data import (
    PATIENCE,
    Batch,
    Published,
    UnpublishedError,
    cut_batches,
    fingerprint,
    publish,
)
from apitracker.tracker.retries import Clock, Poster

MARGIN_SECONDS: Final = 2.0  # kept of the time, to log the outcome and give the claim back

IN_DOUBT: Final = "in doubt"  # the message that a batch may have been counted twice
UNKNOWN_BATCHES: Final = (
    "an earlier version of apitracker began to publish this log and did not record its batches: "
    "where ours differ, calls count twice or are missing"
)
GIVE_BACK_SECONDS: Final = 1.0  # of the margin
KEEPABLE: Final = tuple(
    dict.fromkeys(
        f for each in SETS.values() for f in each.fields if f not in {"second", "outcome"}
    )
)


class Tracker(Struct, frozen=True):
    """
    The settings, connections and budgets that tracking uses.

    Each metric set has two budgets: of its series, and of its overflow series.
    """

    settings: Settings
    selection: MetricSelection
    poster: Poster
    clock: Clock
    ledger: Ledger | None
    budgets: dict[str, tuple[Budget, Budget]]


class Notify(Protocol):
    """Callback for events that must be logged at once, before the outcome is known."""

    def __call__(self, message: str, /, **facts: object) -> None:
        """Log *message* with *facts*."""


class CutLog(NamedTuple):
    """The *batches* of a log, and the calls of its *overflow*, by one decision."""

    batches: list[Batch]
    overflow: int


class Tracked(Struct, frozen=True):
    """
    The outcome of tracking *log*.

    *excluded* are counted calls that a rule keeps from being published, *overflow* calls that are
    counted together, beyond the budget. *before* says that an earlier delivery published the whole
    log; then nothing of it was published now.
    """

    log: Log
    counted: Counted
    excluded: int
    published: Published
    batches: int = 0
    overflow: int = 0
    before: bool = False


def assemble(settings: Settings, cloudwatch: Poster, dynamodb: Poster, clock: Clock) -> Tracker:
    """Build a tracker by *settings*. `SettingsError` names the one that cannot be read."""
    selection = select_metrics(settings)
    with _blame("KEEP"):
        keep = parse_where(settings.keep.split())
    if strange := keep.keys() - {*KEEPABLE}:
        raise SettingsError(
            f"{PREFIX}KEEP: {', '.join(sorted(strange))} is not in the name or dimensions of a "
            f"metric: choose from {', '.join(KEEPABLE)}"
        )
    alarmed = AlarmedMetrics(cloudwatch, clock)
    return Tracker(
        settings,
        selection,
        cloudwatch,
        clock,
        Ledger(settings.ledger, dynamodb, clock) if settings.ledger else None,
        {
            each.name: (
                Budget(each.name, settings.budget, exemptions(keep, each, alarmed)),
                Budget(f"{each.name}.other", overflow_budget(settings.budget)),
            )
            for each in selection.sets
        },
    )


def select_metrics(settings: Settings) -> MetricSelection:
    """Validate the metric settings and return them as a selection. `SettingsError` names one."""
    names = parse_names(settings.metrics)
    with _blame("METRICS"):
        require_sets(names)
    with _blame("INCLUDE"):
        parse_where(settings.include.split())
    with _blame("EXCLUDE"):
        parse_where(settings.exclude.split())
    metrics = tuple(name for name in SETS if name in names)
    return MetricSelection(
        settings.namespace, metrics, settings.include, settings.exclude, settings.recorded
    )


def track(log: Log, tracker: Tracker, *, claimant: str, until: float, notify: Notify) -> Tracked:
    """
    Publish the calls of *log* that have not been published, and return the outcome.

    *claimant* names this attempt, and no other; *until*, in seconds since 1970, is when it ends,
    done or not. `LogError` if the log cannot be read whole, `ServiceError` if calls could not be
    published, `HeldError` if others than its batches were begun.
    """
    deadline = until - MARGIN_SECONDS
    own = Own.of(tracker.settings)
    counted = count_log(log, tracker.selection, own)
    if not counted.balance.counted:
        # And no claim: a log of nothing but our own calls must not make more of them.
        return Tracked(log, counted, 0, Published())
    shares, excluded = count_by_set(counted.counts, tracker.selection)
    decision, cut, claimed = _begin(log, shares, tracker, claimant, until=until, notify=notify)
    if claimed and claimed.finished:
        return Tracked(log, counted, excluded, Published(), before=True)
    if claimed and claimed.decision != decision:
        first = claimed.decision
        again = counted
        if first.selection != tracker.selection:
            again = count_log(log, first.selection, own)
        shares, excluded_then = count_by_set(again.counts, first.selection)
        cut_then = cut_log(shares, first)
        mark = fingerprint_log(cut_then.batches, shares, first)
        if _keeps(claimed, cut_then, mark, deadline=deadline, notify=notify):
            counted, excluded, cut = again, excluded_then, cut_then
        else:
            claimed.decide(decision, deadline=deadline)
    published = _publish(log, cut.batches, tracker, claimed, deadline=deadline, notify=notify)
    return Tracked(log, counted, excluded, published, len(cut.batches), cut.overflow)


def count_log(log: Log, selection: MetricSelection, own: Own | None) -> Counted:
    """
    Count the calls of *log* by the fields of *selection*, each eventID once.

    Calls that tracking by *own* caused are skipped.
    """
    recorded = tuple(selection.recorded_accounts.split())
    query = Query(selection.fields, recorded=recorded, own=own, event_bits=0)
    return merge([read_log(log, query)], query)


def cut_log(shares: CountsBySet, decision: Decision) -> CutLog:
    """Cut *shares* into batches by *decision*."""
    batches: list[Batch] = []
    calls = 0
    for metrics, counts in shares:
        bits = decision.overflow.get(metrics.name)
        if bits is None:
            batches += cut_batches(counts, metrics)
            continue
        within, beyond = split_overflow(counts, metrics, *_overflow(bits, counts, metrics))
        calls += sum(beyond.values())
        if overflow_set(metrics) == metrics:
            for key, n in within.items():
                beyond[key] = beyond.get(key, 0) + n
            batches += cut_batches(beyond, metrics)
        else:
            batches += cut_batches(within, metrics)
            batches += cut_batches(beyond, overflow_set(metrics))
    return CutLog(batches, calls)


def fingerprint_log(batches: list[Batch], shares: CountsBySet, decision: Decision) -> str:
    """
    Return the fingerprint of a log's *batches*: of their ids and content.

    It is also of the series that the overflow bits of *decision* stand for.
    """
    digest = hashlib.sha256(fingerprint(batches).encode())
    for batch in batches:
        digest.update(f" {batch.id}".encode())
    for metrics, counts in shares:
        if metrics.name in decision.overflow:
            digest.update(ascii(sorted(_series(counts))).encode())
    return digest.hexdigest()[:12]


@contextmanager
def _blame(name: str) -> Iterator[None]:
    """Name the setting *name* in errors about its value."""
    try:
        yield
    except UsageError as e:
        raise SettingsError(f"{PREFIX}{name}: {e}") from e


def _begin(  # noqa: PLR0913 - the parts of a claim
    log: Log,
    shares: CountsBySet,
    tracker: Tracker,
    claimant: str,
    *,
    until: float,
    notify: Notify,
) -> tuple[Decision, CutLog, Claim | None]:
    """Decide how *log* is published, cut it, and claim it where there is a ledger."""
    deadline = until - MARGIN_SECONDS
    if tracker.ledger is None:
        return *_decide(shares, tracker, None, deadline), None
    hold = tracker.settings.ledger_down == "hold"
    by = deadline if hold else min(deadline, tracker.clock.now() + PATIENCE)
    try:
        decision, cut = _decide(shares, tracker, tracker.ledger, by)
        claimed = claim(
            tracker.ledger, log.id, decision, claimant=claimant, until=until, deadline=by
        )
    except HeldError:
        raise
    except ServiceError as e:
        if hold:
            raise
        if shares:
            notify("published without the ledger", log=log.id, fault=str(e))
        return *_decide(shares, tracker, None, deadline), None
    return decision, cut, claimed


def _keeps(claimed: Claim, cut: CutLog, mark: str, *, deadline: float, notify: Notify) -> bool:
    """
    Return whether a log that was claimed before goes on by its first decision.

    Now that decision gives *cut*, whose fingerprint is *mark*. It goes on if the first attempt had
    the same batches, and not if it had others but began none. `HeldError` if it began others.
    Version 1 recorded no fingerprint: the batches that it left are published, each in doubt.
    """
    first = claimed.decision
    if mark == first.fingerprint:
        return True
    if not claimed.begun:
        return False
    if first.fingerprint:
        if not claimed.taken_over:
            with suppress(ServiceError):  # it ends by itself
                claimed.give_back(deadline=deadline + GIVE_BACK_SECONDS)
        raise HeldError(_differing(claimed, mark))
    notify(UNKNOWN_BATCHES, log=claimed.log, done=sorted(claimed.done))
    for batch in cut.batches:
        if batch.id not in claimed.done:
            notify(IN_DOUBT, log=claimed.log, batch=batch.id, calls=batch.calls)
    claimed.taken_over = False  # all that it would say is said
    claimed.decide(replace(first, fingerprint=mark, version=VERSION), deadline=deadline)
    return True


def _differing(claimed: Claim, mark: str) -> str:
    """Return the error text for a log of which other batches were begun, and the way on."""
    first = claimed.decision
    published = f"{len(claimed.done):,} batches" if claimed.done else "perhaps the first batch"
    return (
        f"{claimed.log}: its batches are not those that were begun (fingerprint {mark}, was "
        f"{first.fingerprint}; ledger version {VERSION}, was {first.version}). Nothing more was "
        "sent, as some calls would count twice and others never. Published before: "
        f"{published}. Run apitracker redrive of the version that began it, or delete the log's "
        f"item from the table {claimed.ledger.table} and redrive: the published batches then count "
        "twice"
    )


def _publish(  # noqa: PLR0913 - the batches, their connections, the deadline and the callback
    log: Log,
    batches: list[Batch],
    tracker: Tracker,
    claimed: Claim | None,
    *,
    deadline: float,
    notify: Notify,
) -> Published:
    """Publish *batches*, and finish the claim or give it back."""

    def doubt(batch: Batch) -> None:
        notify(IN_DOUBT, log=log.id, batch=batch.id, calls=batch.calls)

    if tracker.ledger and not claimed:
        for batch in batches:
            doubt(batch)
    try:
        published = publish(
            batches,
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
    if claimed and not batches:
        # All calls were excluded. Should this be lost, they count again when the log comes again,
        # and still nothing is sent.
        with suppress(ServiceError):
            claimed.finish(deadline=deadline)
    return published


def _decide(
    shares: CountsBySet, tracker: Tracker, ledger: Ledger | None, deadline: float
) -> tuple[Decision, CutLog]:
    """Hold the series of *shares* against their budgets, and cut them into batches."""
    now = tracker.clock.now()
    decided: dict[str, tuple[bytes, bytes]] = {}
    for metrics, counts in shares:
        budget, budget_of_overflow = tracker.budgets[metrics.name]
        series = _series(counts)
        if beyond := budget.beyond(series, ledger, now=now, deadline=deadline):
            stands = {overflow_series(each, metrics) for each in beyond}
            again = budget_of_overflow.beyond(stands, ledger, now=now, deadline=deadline)
            decided[metrics.name] = (to_bits(beyond, series), to_bits(again, stands))
    decision = Decision(int(now), tracker.selection, decided)
    cut = cut_log(shares, decision)
    mark = fingerprint_log(cut.batches, shares, decision) if ledger else ""
    return replace(decision, fingerprint=mark), cut


def _overflow(
    bits: tuple[bytes, bytes], counts: SeriesCounts, metrics: MetricSet
) -> tuple[set[Series], set[Series]]:
    """Decode a decision: the series beyond the budget, and the overflow series beyond theirs."""
    first, second = bits
    beyond = from_bits(first, _series(counts))
    return beyond, from_bits(second, {overflow_series(each, metrics) for each in beyond})


def _series(counts: SeriesCounts) -> set[Series]:
    return {series for series, _ in counts}
