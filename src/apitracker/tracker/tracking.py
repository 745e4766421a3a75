"""
What is done with one subscription event: its calls are counted, and published once.

A log is counted, its metrics are held against the budget, it is claimed in the ledger, its pages
are sent and marked. What must not be lost ends as an error: whoever delivered the event delivers
it again.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final, Protocol, TypeAlias

import msgspec
from msgspec import Struct

from apitracker.core.metric_sets import (
    SETS,
    Choice,
    MetricSet,
    Series,
    budget_of_others,
    divert,
    from_bits,
    other,
    others,
    parse_names,
    project,
    require_sets,
    sift,
    to_bits,
)
from apitracker.core.metrics import Page, paginate
from apitracker.core.model import Log, Rejected
from apitracker.core.own_calls import Own
from apitracker.core.records import parts
from apitracker.core.selection import parse_where
from apitracker.core.tally import Row, rows
from apitracker.errors import ServiceError, SettingsError, UsageError
from apitracker.settings import PREFIX, Settings
from apitracker.tracker.budget import Alarmed, Budget, always
from apitracker.tracker.envelopes import subscription
from apitracker.tracker.ledger import Claim, Decision, HeldError, Ledger, claim
from apitracker.tracker.put_metric_data import PATIENCE, Published, UnpublishedError, publish
from apitracker.tracker.retries import Clock, Poster

MARGIN_SECONDS: Final = 2.0  # kept of the time, to say what became of a log and give it back

IN_DOUBT: Final = "in doubt"  # a note that a page may have been counted twice
GIVE_BACK_SECONDS: Final = 1.0  # of the margin
KEEPABLE: Final = tuple(
    dict.fromkeys(
        f for each in SETS.values() for f in each.fields if f not in {"second", "outcome"}
    )
)

Shares: TypeAlias = list[tuple[MetricSet, Mapping[Row, int]]]
"""What is published as each metric set, where there is anything."""


class Tracker(Struct, frozen=True):
    """
    All that tracking needs from outside, handed over once.

    Each metric set has two budgets: of its metrics, and of those that stand for what is beyond it.
    """

    settings: Settings
    choice: Choice
    poster: Poster
    clock: Clock
    ledger: Ledger | None
    budgets: dict[str, tuple[Budget, Budget]]


class Note(Protocol):
    """What is told, while it happens, what a log must say even if nothing else comes after it."""

    def __call__(self, message: str, /, **facts: object) -> None:
        """Write it down."""


class Counts(Struct):
    """
    What a log holds, and how often; the records balance.

    *excluded* are calls that are counted, and that a rule keeps from being published.
    """

    received: int = 0
    counted: int = 0
    excluded: int = 0
    duplicates: int = 0
    skipped: Counter[str] = msgspec.field(default_factory=Counter)
    rejected: list[Rejected] = msgspec.field(default_factory=list)
    rows: Counter[Row] = msgspec.field(default_factory=Counter)


class Tracked(Struct, frozen=True):
    """
    What became of a log.

    *others* are calls that are counted together, beyond the budget. *before* says that all of it
    was published by an earlier delivery; then nothing of it was now.
    """

    log: Log
    counts: Counts
    published: Published
    pages: int = 0
    others: int = 0
    before: bool = False


def assemble(settings: Settings, cloudwatch: Poster, dynamodb: Poster, clock: Clock) -> Tracker:
    """Build a tracker by *settings*. `SettingsError` names the one that cannot be read."""
    choice = choose(settings)
    with _reading("KEEP"):
        keep = parse_where(settings.keep.split())
    if strange := keep.keys() - {*KEEPABLE}:
        raise SettingsError(
            f"{PREFIX}KEEP: {', '.join(sorted(strange))} is not in the name or dimensions of a "
            f"metric: choose from {', '.join(KEEPABLE)}"
        )
    alarmed = Alarmed(cloudwatch, clock)
    return Tracker(
        settings,
        choice,
        cloudwatch,
        clock,
        Ledger(settings.ledger, dynamodb, clock) if settings.ledger else None,
        {
            each.name: (
                Budget(each.name, settings.budget, always(keep, each, alarmed)),
                Budget(f"{each.name}.other", budget_of_others(settings.budget)),
            )
            for each in choice.sets
        },
    )


def choose(settings: Settings) -> Choice:
    """Read what *settings* publish as what. `SettingsError` names the one that cannot be read."""
    names = parse_names(settings.metrics)
    with _reading("METRICS"):
        require_sets(names)
    with _reading("INCLUDE"):
        parse_where(settings.include.split())
    with _reading("EXCLUDE"):
        parse_where(settings.exclude.split())
    metrics = tuple(name for name in SETS if name in names)
    return Choice(
        settings.namespace, metrics, settings.include, settings.exclude, settings.recorded
    )


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
    choice = tracker.choice
    own = Own.of(tracker.settings)
    counts, shares = count(log, choice, own)
    if not counts.counted:
        # And no claim: with a log that holds nothing but our own calls they end.
        return Tracked(log, counts, Published())
    decision, claimed = _begin(log, shares, tracker, claimant, until=until, note=note)
    if claimed and claimed.finished:
        return Tracked(log, counts, Published(), before=True)
    if decision.choice != choice:
        # Settings have changed since the log was first claimed: what was decided then stays.
        counts, shares = count(log, decision.choice, own)
    pages, beyond = cut_pages(shares, decision)
    published = _publish(log, pages, tracker, claimed, deadline=deadline, note=note)
    return Tracked(log, counts, published, len(pages), beyond)


def count(log: Log, choice: Choice, own: Own | None) -> tuple[Counts, Shares]:
    """
    Count the calls of *log*, each eventID once, and divide them among the sets of *choice*.

    Its rules exclude some from the sets. Calls that tracking by *own* caused are skipped.
    """
    fields = choice.fields
    counts = _read(log, fields, choice.recorded.split(), own)
    kept = sift(counts.rows, fields, choice.rules)
    counts.excluded = counts.counted - sum(kept.values())
    divided = [(each, project(kept, fields, each)) for each in choice.sets]
    return counts, [(metrics, share) for metrics, share in divided if share]


def cut_pages(shares: Shares, decision: Decision) -> tuple[list[Page], int]:
    """Cut *shares* into pages as was decided; and say how many calls are counted as others."""
    pages: list[Page] = []
    beyond = 0
    for metrics, share in shares:
        bits = decision.others.get(metrics.name)
        if bits is None:
            pages += paginate(share, metrics)
            continue
        stay, moved = divert(share, metrics, *_beyond(bits, share, metrics))
        beyond += moved.total()
        if others(metrics) == metrics:
            pages += paginate(moved + Counter(stay), metrics)
        else:
            pages += [*paginate(stay, metrics), *paginate(moved, others(metrics))]
    return pages, beyond


@contextmanager
def _reading(name: str) -> Iterator[None]:
    """Blame the setting *name* for what cannot be read."""
    try:
        yield
    except UsageError as e:
        raise SettingsError(f"{PREFIX}{name}: {e}") from e


def _read(log: Log, fields: tuple[str, ...], recorded: list[str], own: Own | None) -> Counts:
    """Decode *log* and count its calls by *fields*, each eventID once."""
    counts = Counts()
    for part in parts(log, fields=fields, recorded=recorded, own=own):
        counts.received += part.received
        counts.counted += len(part.calls)
        counts.duplicates += len(part.duplicates)
        counts.skipped.update(part.skipped)
        counts.rejected += part.rejected
        counts.rows.update(rows(part.calls, fields))
    return counts


def _begin(  # noqa: PLR0913 - what a claim is made of
    log: Log, shares: Shares, tracker: Tracker, claimant: str, *, until: float, note: Note
) -> tuple[Decision, Claim | None]:
    """Decide what becomes of *log*, and claim it where there is a ledger."""
    deadline = until - MARGIN_SECONDS
    if tracker.ledger is None:
        return _decide(shares, tracker, None, deadline), None
    hold = tracker.settings.ledger_down == "hold"
    by = deadline if hold else min(deadline, tracker.clock.now() + PATIENCE)
    try:
        decision = _decide(shares, tracker, tracker.ledger, by)
        claimed = claim(
            tracker.ledger, log.id, decision, claimant=claimant, until=until, deadline=by
        )
    except HeldError:
        raise
    except ServiceError as e:
        if hold:
            raise
        if shares:
            note("published without the ledger", log=log.id, fault=str(e))
        return _decide(shares, tracker, None, deadline), None
    return claimed.decision, claimed


def _publish(  # noqa: PLR0913 - what is published, with what, by when, and whom to tell
    log: Log,
    pages: list[Page],
    tracker: Tracker,
    claimed: Claim | None,
    *,
    deadline: float,
    note: Note,
) -> Published:
    """Publish *pages*, and finish the claim or give it back."""

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
    if claimed and not pages:
        # Only what was decided says so: all calls were excluded. Should this be lost, they count
        # again when the log comes again, and still nothing is sent.
        with suppress(ServiceError):
            claimed.finish(deadline=deadline)
    return published


def _decide(shares: Shares, tracker: Tracker, ledger: Ledger | None, deadline: float) -> Decision:
    """Hold the metrics of *shares* against their budgets."""
    now = tracker.clock.now()
    decided: dict[str, tuple[bytes, bytes]] = {}
    for metrics, share in shares:
        first, second = tracker.budgets[metrics.name]
        series = {row[:-1] for row in share}
        if beyond := first.beyond(series, ledger, now=now, deadline=deadline):
            moved = {other(each, metrics) for each in beyond}
            further = second.beyond(moved, ledger, now=now, deadline=deadline)
            decided[metrics.name] = (to_bits(beyond, series), to_bits(further, moved))
    return Decision(int(now), tracker.choice, decided)


def _beyond(
    bits: tuple[bytes, bytes], share: Mapping[Row, int], metrics: MetricSet
) -> tuple[set[Series], set[Series]]:
    """Read what was decided: the series beyond the budget, and those for them that are too."""
    beyond = from_bits(bits[0], {row[:-1] for row in share})
    return beyond, from_bits(bits[1], {other(each, metrics) for each in beyond})
