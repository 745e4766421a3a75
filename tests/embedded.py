"""
The embedded metric format, read as CloudWatch Logs reads it: lines become metrics, or are refused.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

import json
from collections.abc import Iterable

Point = tuple[str, str, str, str]
"""Namespace, metric, unit and the dimensions, as JSON."""


def points(lines: Iterable[str]) -> dict[Point, list[float]]:
    """The values of each metric in *lines*; what the format does not allow fails the test."""
    found: dict[Point, list[float]] = {}
    for text in lines:
        assert len(text.encode()) <= 1_000_000
        line = json.loads(text)
        if "_aws" not in line:
            continue
        assert type(line["_aws"]["Timestamp"]) is int
        for directive in line["_aws"]["CloudWatchMetrics"]:
            assert 1 <= len(directive["Namespace"]) <= 1024
            assert 1 <= len(directive["Metrics"]) <= 100
            for dimensions in directive["Dimensions"]:
                assert len(dimensions) <= 30
                values = {name: line[name] for name in dimensions}
                for value in values.values():
                    assert isinstance(value, str)
                    assert 1 <= len(value) <= 1024
                for metric in directive["Metrics"]:
                    assert metric.keys() == {"Name", "Unit"}
                    assert metric["Unit"] in {"Count", "Seconds", "Milliseconds"}
                    given = line[metric["Name"]]
                    numbers = given if isinstance(given, list) else [given]
                    assert 1 <= len(numbers) <= 100
                    assert all(type(number) in {int, float} for number in numbers)
                    where = (directive["Namespace"], metric["Name"], metric["Unit"])
                    found.setdefault((*where, json.dumps(values)), []).extend(numbers)
    return found


def sums(lines: Iterable[str]) -> dict[str, float]:
    """The sum of each metric in *lines*, by its name alone."""
    total: dict[str, float] = {}
    for (_, name, _, _), values in points(lines).items():
        total[name] = total.get(name, 0) + sum(values)
    return total
