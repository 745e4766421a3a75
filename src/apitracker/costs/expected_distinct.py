"""
How many kinds of things there are, of which a sample has shown some.

In a short sample most of what is rare is missing. How much is, what was seen only once or twice
tells: Chao2, the estimate that ecologists make of species from the traps in which each was found.

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
    Estimate how many kinds there are in *whole* units of time, of which *sampled* were looked at.

    *units* says of each kind that was seen in how many units it was, at least one.

    - *low* is how many were seen.
    - *likely* is what Chao2 expects in so many units. It takes what was not seen for about as
      common as what was seen once, and so is rather too low.
    - *high* is as though new kinds went on coming as they do at the end of the sample: each part
      of time longer than the one before by the same factor adds the same factor of kinds. The
      number seen once says how fast that is; by chance it may have been low.

    All of it takes the whole for like the sample: of what comes once a month, a sample of a day
    says nothing.
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
