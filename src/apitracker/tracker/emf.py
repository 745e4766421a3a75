"""
The tracker's own metrics, in the embedded metric format: log lines that become metrics.

CloudWatch Logs makes metrics of such lines itself: no request is made, so none can fail.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from apitracker.core.metric_sets import ABSENT

OWN_METRICS: Final = "/Tracker"  # behind the namespace of the metrics
DIMENSION: Final = "FunctionName"
METRIC_UNITS: Final = {
    "Received": "Count",
    "Counted": "Count",
    "Duplicates": "Count",
    "Skipped": "Count",
    "Rejected": "Count",
    "Refused": "Count",
    "Published": "Count",
    "Other": "Count",
    "InDoubt": "Count",
    "PublishRetries": "Count",
    "Lag": "Seconds",
    "Duration": "Milliseconds",
}
"""Every metric, of the hundred that a line may have, and its unit."""

VALUES: Final = 100  # of one metric in one line


def embed(
    namespace: str,
    function: str,
    metrics: Mapping[str, float | Sequence[float]],
    *,
    now: float,
) -> dict[str, Any]:
    """
    Return *metrics*, some of `METRIC_UNITS`, as fields to add to a log line.

    *function* is the value of the only dimension, *now* is in seconds since 1970. A metric without
    values is left out.
    """
    given = {name: value for name, value in metrics.items() if value != []}
    if not given:
        return {}
    return {
        "_aws": {
            "Timestamp": int(now * 1_000),
            "CloudWatchMetrics": [
                {
                    "Namespace": f"{namespace}{OWN_METRICS}",
                    "Dimensions": [[DIMENSION]],
                    "Metrics": [{"Name": name, "Unit": METRIC_UNITS[name]} for name in given],
                }
            ],
        },
        # An empty dimension would make metrics without any: aws-embedded-metrics-python#58.
        DIMENSION: function or ABSENT,
        **given,
    }


def spread(values: Mapping[float, int]) -> list[float]:
    """
    Return at most `VALUES` values with the percentiles of *values*, a count for each value.

    All of them if there are at most `VALUES`, else the midpoints of `VALUES` equal quantile bins,
    sorted.
    """
    total = sum(values.values())
    parts = min(total, VALUES)
    found: list[float] = []
    passed = 0
    for value in sorted(values):
        passed += values[value]
        while len(found) < parts and (2 * len(found) + 1) * total < 2 * parts * passed:
            found.append(value)
    return found
