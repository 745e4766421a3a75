"""
Overflow of a budget: calls of series beyond it are counted together, so that totals stay exact.

The series that stand for them have `OVERFLOW` in place of the value that varies without end.
"""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from msgspec.structs import replace

from apitracker.core.metric_sets import API, OVERFLOW, USAGE, MetricSet, Series, SeriesCounts


def overflow_set(metrics: MetricSet) -> MetricSet:
    """
    Return the metric set that overflow calls of *metrics* are counted in.

    For `API` it is in another namespace, so that a sum over *namespace* by name finds APIs only.
    """
    if metrics.name != API.name:
        return metrics
    return replace(metrics, name="other", namespace=metrics.namespace + USAGE)


def overflow_series(series: Series, metrics: MetricSet) -> Series:
    """Return the series that stands for *series* beyond the budget of *metrics*."""
    if metrics.varies == metrics.metric:
        return Series(OVERFLOW, series.values)
    pairs = zip(metrics.dimensions, series.values, strict=True)
    return Series(series.name, tuple(OVERFLOW if d == metrics.varies else v for d, v in pairs))


def overflow_budget(budget: int) -> int:
    """Return how many series may stand for overflow of *budget*: a tenth as many, at least one."""
    return max(1, budget // 10)


def split_overflow(
    counts: SeriesCounts,
    metrics: MetricSet,
    overflow: AbstractSet[Series],
    overflow_again: AbstractSet[Series],
) -> tuple[SeriesCounts, SeriesCounts]:
    """
    Split *counts* of *metrics* into those within the budget and those of *overflow* series.

    The latter are counted by `overflow_series`; where that is itself in *overflow_again*, by one
    series without any value that tells calls apart.
    """
    within: SeriesCounts = {}
    beyond: SeriesCounts = {}
    for (series, second), calls in counts.items():
        if series not in overflow:
            within[series, second] = calls
            continue
        stands = overflow_series(series, metrics)
        if stands in overflow_again:
            name = OVERFLOW if metrics.varies == metrics.metric else series.name
            stands = Series(name, (OVERFLOW,) * len(metrics.dimensions))
        beyond[stands, second] = beyond.get((stands, second), 0) + calls
    return within, beyond


def to_bits(some: AbstractSet[Series], among: Iterable[Series]) -> bytes:
    """
    Encode *some* as one bit for each of *among*, in sorted order; no bytes if there are none.

    Bits rather than names, as a write to the ledger is billed by the item's size.
    """
    number = sum(1 << at for at, each in enumerate(sorted(among)) if each in some)
    return number.to_bytes((number.bit_length() + 7) // 8, "little")


def from_bits(bits: bytes, among: Iterable[Series]) -> set[Series]:
    """Return the series that `to_bits` encoded."""
    if not any(bits):
        return set()
    number = int.from_bytes(bits, "little")
    # Shifted one by one, so that each step is a question about the lowest bit.
    return {each for at, each in enumerate(sorted(among)) if (number >> at) % 2}
