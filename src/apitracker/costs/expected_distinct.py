"""
Expected number of distinct metrics in a month, of which a sample has shown some.

A short sample misses most of the rare ones. Chao2 estimates how many from those that it has in one
and in two units of time, as ecologists do it for species, from the traps that each was found in.

R. K. Colwell et al., "Models and estimators linking individual-based and sample-based
rarefaction, extrapolation and comparison of assemblages" (2012), Journal of Plant Ecology 5,
https://doi.org/10.1093/jpe/rtr044.
"""

import math
from collections import Counter
from collections.abc import Iterable

from msgspec import Struct


class Range(Struct, frozen=True):
    """A number that is at least *low* and hardly more than *high*; *likely* is the best guess."""

    low: int
    likely: int
    high: int


def expected_distinct(units: Iterable[int], sampled: int, whole: int) -> Range:
    """
    Estimate the number of distinct things in *whole* units of time, from *sampled* of these units.

    *units* has, for each thing that was seen, the number of units that it was seen in.

    - *low* is the number seen.
    - *likely* is the number that Chao2 expects. It takes unseen things to be about as common as
      those seen once, and so is rather too low.
    - *high* is the number if new things go on coming as they do at the end of the sample: each part
      of time longer than the one before by the same factor adds the same factor of things. The
      number seen once tells how fast that is; by chance it may have been low.

    The whole is taken to be like the sample: a sample of a day says nothing of monthly things.
    """
    found = Counter(units)
    seen, once, twice = found.total(), found[1], found[2]
    if not seen or sampled >= whole:
        return Range(seen, seen, seen)
    unseen = (sampled - 1) / sampled * once * (once - 1) / (2 * (twice + 1))
    likely = float(seen)
    if unseen:
        left = (1 - once / (once + sampled * unseen)) ** (whole - sampled)
        likely += unseen * (1 - left)
    fastest = once + 2 * math.sqrt(once + 1) + 2  # of a Poisson distribution, 97 in 100 are below
    high = seen * (whole / sampled) ** min(1.0, fastest / seen)
    return Range(seen, round(min(likely, high)), math.ceil(high))
