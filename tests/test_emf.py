"""The tracker's own metrics are what CloudWatch Logs makes metrics of."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import embedded

from apitracker.tracker.emf import METRIC_UNITS, VALUES, embed, spread


def test_example() -> None:
    """Metrics stand in the line by their names, described once."""
    line = embed("API-COUNT", "tracker", {"Received": 3, "Lag": [1.5, 2]}, now=1_790_000_000.25)

    assert line == {
        "_aws": {
            "Timestamp": 1_790_000_000_250,
            "CloudWatchMetrics": [
                {
                    "Namespace": "API-COUNT/Tracker",
                    "Dimensions": [["FunctionName"]],
                    "Metrics": [
                        {"Name": "Received", "Unit": "Count"},
                        {"Name": "Lag", "Unit": "Seconds"},
                    ],
                }
            ],
        },
        "FunctionName": "tracker",
        "Received": 3,
        "Lag": [1.5, 2],
    }


@pytest.mark.parametrize("metrics", [{}, {"Lag": []}])
def test_nothing(metrics: dict[str, list[float]]) -> None:
    """A line without a value is no metric, and CloudWatch would refuse one that says it were."""
    assert embed("API-COUNT", "tracker", metrics, now=0) == {}


def test_no_name() -> None:
    """An empty dimension would lose the metric its dimension: there is none."""
    assert embed("N", "", {"Received": 1}, now=0)["FunctionName"] == "-"


@given(st.dictionaries(st.sampled_from(sorted(METRIC_UNITS)), st.integers(0, 10**9)))
def test_limits(metrics: dict[str, int]) -> None:
    """Whatever is measured, the format allows it."""
    line = json.dumps(embed("API-COUNT", "tracker", metrics, now=1_790_000_000))

    assert embedded.sums([line]) == metrics


@given(st.dictionaries(st.floats(0, 1e6), st.integers(1, 1_000), max_size=300))
def test_spread(values: dict[float, int]) -> None:
    """A hundred values at most, in order, of which half are below the middle one of all."""
    every = sorted(value for value, n in values.items() for _ in range(n))

    some = spread(values)

    assert len(some) == min(VALUES, len(every))
    assert some == sorted(some)
    assert set(some) <= set(every)
    if len(every) <= VALUES:
        assert some == every
    else:
        assert some == [every[(2 * at + 1) * len(every) // (2 * VALUES)] for at in range(VALUES)]
