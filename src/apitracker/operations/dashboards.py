"""A dashboard of the busiest APIs."""

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from apitracker.aws import Client, translate_errors
from apitracker.core.metric_sets import API
from apitracker.errors import ServiceError, UsageError
from apitracker.operations.cloudwatch import Metric, get_sums, list_metrics

DAYS: Final = 7  # over which APIs are ranked
DAY_SECONDS: Final = 86_400
DASHBOARD_NAME: Final = "apitracker-busiest"
GRID_COLUMNS: Final = 24  # of the grid
ACROSS: Final = 4  # APIs beside each other
HEIGHT: Final = 6
MOST_APIS: Final = 400  # APIs: a widget and four metrics each, of 500 widgets and 2,500 metrics
PERIOD: Final = 300  # seconds


class Used(Struct, frozen=True):
    """One API in one region, by the values of its metric, and how often it was called."""

    event_name: str
    aws_region: str
    event_source: str
    calls: int


def busiest(cloudwatch: Client, namespace: str, *, now: int) -> list[Used]:
    """
    Ask CloudWatch for the APIs of the last week, most calls first.

    Each metric is asked for once, a day a value: a SEARCH would be one request only, but it gives
    at most 500 metrics, and not those with the highest sums.
    """
    dimensions = [{"Name": each} for each in API.dimensions]
    listed = list_metrics(cloudwatch, namespace, Dimensions=dimensions)
    found = get_sums(
        cloudwatch,
        (metric for metric in listed if _is_api(metric)),
        period=DAY_SECONDS,
        start=now - now % DAY_SECONDS - (DAYS - 1) * DAY_SECONDS,
        end=now + 60,
    )
    return rank_apis(_used(metric, values.values()) for metric, values in found.items())


def rank_apis(rows: Iterable[Used]) -> list[Used]:
    """Sort the *rows* that have calls, most calls first, then by name."""
    called = (row for row in rows if row.calls)
    return sorted(called, key=lambda r: (-r.calls, r.event_name, r.aws_region, r.event_source))


def dashboard_body(rows: Sequence[Used], namespace: str, region: str) -> dict[str, Any]:
    """
    Build the dashboard of *rows*, with their metrics in *namespace* in *region*.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html
    """
    if len(rows) > MOST_APIS:
        raise UsageError(f"a dashboard has room for {MOST_APIS} APIs")
    about = (
        f"**The {len(rows)} busiest APIs** of {DAYS} days, made by `apitracker dashboard`, which "
        "replaces all of it when it is run again."
    )
    widgets = [{"type": "text", **_place(0, 0, GRID_COLUMNS, 2), "properties": {"markdown": about}}]
    if rows:
        lines = [_metric(row, namespace, label=_title(row)) for row in rows]
        widgets += [
            _graph("Calls in 5 minutes", lines, region, _place(0, 2, 12, 9), view="timeSeries"),
            _graph(
                "Calls in the time shown",
                lines,
                region,
                _place(12, 2, 12, 9),
                view="bar",
                setPeriodToTimeRange=True,
            ),
        ]
    width = GRID_COLUMNS // ACROSS
    for number, row in enumerate(rows):
        down, along = divmod(number, ACROSS)
        pair = [
            _metric(row, namespace, label="calls in 5 minutes"),
            _metric(row, namespace, label="peak, calls a second", stat="Maximum", yAxis="right"),
        ]
        place = _place(along * width, 11 + down * HEIGHT, width, HEIGHT)
        widgets.append(_graph(_title(row), pair, region, place, view="timeSeries", yAxis=_ZERO))
    return {"start": "-P1D", "periodOverride": "inherit", "widgets": widgets}


def require_name(name: str) -> None:
    """`UsageError` unless CloudWatch takes *name* for a dashboard."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,255}", name):
        raise UsageError(f"{name}: a dashboard's name has letters, digits, - and _, up to 255")


def put_dashboard(name: str, built: dict[str, Any], cloudwatch: Client) -> list[str]:
    """
    Make the dashboard, or replace the one of this name, and return AWS's remarks on it.

    `ServiceError` if AWS does not take it.
    """
    try:
        with translate_errors("cloudwatch:PutDashboard"):
            answer = cloudwatch.put_dashboard(
                DashboardName=name, DashboardBody=msgspec.json.encode(built).decode()
            )
    except ServiceError as e:
        raise ServiceError(f"{name}: {e}") from e
    said = answer.get("DashboardValidationMessages", [])
    return [f"{each.get('DataPath', '')}: {each.get('Message', '')}" for each in said]


_ZERO: Final = {"left": {"min": 0, "showUnits": False}, "right": {"min": 0, "showUnits": False}}


def _is_api(metric: Metric) -> bool:
    """Whether *metric* has the dimensions of the set `API` and no other."""
    return [name for name, _ in metric.dimensions] == sorted(API.dimensions)


def _used(metric: Metric, values: Iterable[float]) -> Used:
    given = dict(metric.dimensions)
    return Used(metric.name, given["awsRegion"], given["eventSource"], round(sum(values)))


def _title(row: Used) -> str:
    # A label may hold functions, as ${SUM}; no name is one.
    text = f"{row.event_name} {row.event_source.removesuffix('.amazonaws.com')} {row.aws_region}"
    return text.replace("${", "$ {")


def _metric(row: Used, namespace: str, **options: object) -> list[Any]:
    values = {"awsRegion": row.aws_region, "eventSource": row.event_source}
    pairs = [part for name in API.dimensions for part in (name, values[name])]
    return [namespace, row.event_name, *pairs, options]


def _place(x: int, y: int, width: int, height: int) -> dict[str, int]:
    return {"x": x, "y": y, "width": width, "height": height}


def _graph(
    title: str, lines: list[list[Any]], region: str, place: dict[str, int], **options: object
) -> dict[str, Any]:
    """Build a metric widget; the region is named, as a dashboard belongs to none."""
    properties = {
        "title": title,
        "region": region,
        "stat": "Sum",
        "period": PERIOD,
        "metrics": lines,
        **options,
    }
    return {"type": "metric", **place, "properties": properties}
