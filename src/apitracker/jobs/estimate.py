"""Estimate: the monthly cost of a tracker, from the logs that it would track."""

from collections.abc import Iterable

from apitracker.core.balance import Balance
from apitracker.core.counting import Query, merge
from apitracker.core.selection import Selection
from apitracker.costs.estimate import Estimate, estimate_month
from apitracker.costs.prices import Prices
from apitracker.costs.volume import Scale, make_query
from apitracker.logs.workers import ReadLog, results
from apitracker.settings import Settings
from apitracker.tracker.tracking import select_metrics


def estimate_query(selection: Selection, settings: Settings) -> Query:
    """Return the query that logs are read for before `estimate_costs`."""
    return make_query(select_metrics(settings), selection, settings.max_log_bytes)


def estimate_costs(
    stream: Iterable[ReadLog | Balance], selection: Selection, settings: Settings, prices: Prices
) -> tuple[Estimate | None, Balance]:
    """
    Estimate the monthly costs of a tracker with *settings*, from the logs of *stream*.

    The logs were read for the `estimate_query` of *selection*. Return the estimate, None if no
    calls were selected, and the balance of all records.
    """
    query = estimate_query(selection, settings)
    scale = Scale(settings.max_log_bytes)
    counts, balance = merge(results(scale.weigh(stream)), query)
    if not counts.rows:
        return None, balance
    estimate = estimate_month(
        counts,
        select_metrics(settings),
        prices,
        budget=settings.budget,
        record_bytes=scale.record_bytes,
    )
    return estimate, balance
