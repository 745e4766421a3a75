"""
Dashboards as CloudWatch is given them.

No emulator looks into a body, so it is held to the structure that AWS documents, as types here:
https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html
"""

from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta, Struct

from apitracker.cli.main import cli
from apitracker.errors import UsageError
from apitracker.operations import dashboards
from apitracker.operations.dashboards import Used

Text = Annotated[str, Meta(min_length=1)]
Period = Annotated[int, Meta(ge=60, multiple_of=60)]


class Placed(Struct, forbid_unknown_fields=True, kw_only=True):
    """Where a widget is, on a grid of 24 columns."""

    x: Annotated[int, Meta(ge=0, le=23)]
    y: Annotated[int, Meta(ge=0)]
    width: Annotated[int, Meta(ge=1, le=24)]
    height: Annotated[int, Meta(ge=1, le=1000)]


class Markdown(Struct, forbid_unknown_fields=True):
    """The properties of a text widget."""

    markdown: Text
    background: Literal["solid", "transparent"] = "solid"


class TextWidget(Placed, tag="text", forbid_unknown_fields=True, kw_only=True):
    """A text widget."""

    properties: Markdown


class Side(Struct, forbid_unknown_fields=True, rename="camel"):
    """One y axis."""

    label: str | None = None
    min: float | None = None
    max: float | None = None
    show_units: bool = True


class Axes(Struct, forbid_unknown_fields=True):
    """The y axes of a graph."""

    left: Side | None = None
    right: Side | None = None


class Options(Struct, forbid_unknown_fields=True, rename="camel"):
    """What may stand last in the array of a metric."""

    color: str | None = None
    expression: str | None = None
    id: Annotated[str, Meta(pattern=r"^[a-z][a-zA-Z0-9_]*$")] | None = None
    label: Text | None = None
    period: Period | None = None
    region: Text | None = None
    stat: Text | None = None
    visible: bool = True
    y_axis: Literal["left", "right"] = "left"


class Graph(Struct, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """The properties of a metric widget."""

    metrics: Annotated[list[list[Any]], Meta(min_length=1, max_length=500)]
    region: Text
    title: Text | None = None
    view: Literal["timeSeries", "singleValue", "gauge", "bar", "pie", "table"] = "timeSeries"
    stat: Text | None = None
    period: Period | None = None
    stacked: bool = False
    live_data: bool = False
    set_period_to_time_range: bool = False
    sparkline: bool = False
    y_axis: Axes | None = None

    def __post_init__(self) -> None:
        """Each metric is a namespace, a name and pairs of dimensions, then perhaps options."""
        for metric in self.metrics:
            words = metric[:-1] if isinstance(metric[-1], dict) else metric
            if isinstance(metric[-1], dict):
                msgspec.convert(metric[-1], Options)
            if not (len(words) % 2 == 0 and 2 <= len(words) <= 62):
                raise ValueError("a metric has a namespace, a name, and dimensions in pairs")
            msgspec.convert(words, list[Annotated[str, Meta(min_length=1, max_length=1024)]])


class MetricWidget(Placed, tag="metric", forbid_unknown_fields=True, kw_only=True):
    """A metric widget."""

    properties: Graph


class Body(Struct, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """A whole dashboard."""

    widgets: Annotated[list[TextWidget | MetricWidget], Meta(max_length=500)]
    start: Annotated[str, Meta(pattern=r"^-P(T?)\d+[DHM]$")] | None = None
    period_override: Literal["auto", "inherit"] = "auto"

    def __post_init__(self) -> None:
        """A dashboard has up to 2,500 metrics, and each widget ends within the grid."""
        graphs = [w.properties for w in self.widgets if isinstance(w, MetricWidget)]
        if sum(len(graph.metrics) for graph in graphs) > 2_500:
            raise ValueError("more than 2,500 metrics")
        if any(widget.x + widget.width > 24 for widget in self.widgets):
            raise ValueError("a widget is beyond the grid")


def checked(body: dict[str, Any]) -> Body:
    """Read *body* as AWS describes it; `msgspec.ValidationError` if it is not so."""
    return msgspec.json.decode(msgspec.json.encode(body), type=Body)


def rows(count: int) -> list[Used]:
    """As many APIs, the first with most calls."""
    return [Used(f"Api{n:03}", "eu-west-1", "ec2.amazonaws.com", 1_000 - n) for n in range(count)]


def test_worked_example() -> None:
    """The whole of a dashboard of one API."""
    row = Used("RunInstances", "us-east-1", "ec2.amazonaws.com", 7)
    metric = [
        "API-COUNT",
        "RunInstances",
        "awsRegion",
        "us-east-1",
        "eventSource",
        "ec2.amazonaws.com",
    ]
    line = [*metric, {"label": "RunInstances ec2 us-east-1"}]
    common = {"region": "eu-west-1", "stat": "Sum", "period": 300}
    axis = {"min": 0, "showUnits": False}

    assert dashboards.dashboard_body([row], "API-COUNT", "eu-west-1") == {
        "start": "-P1D",
        "periodOverride": "inherit",
        "widgets": [
            {
                "type": "text",
                "x": 0,
                "y": 0,
                "width": 24,
                "height": 2,
                "properties": {
                    "markdown": "**The 1 busiest APIs** of 7 days, made by `apitracker "
                    "dashboard`, which replaces all of it when it is run again."
                },
            },
            {
                "type": "metric",
                "x": 0,
                "y": 2,
                "width": 12,
                "height": 9,
                "properties": {
                    "title": "Calls in 5 minutes",
                    **common,
                    "metrics": [line],
                    "view": "timeSeries",
                },
            },
            {
                "type": "metric",
                "x": 12,
                "y": 2,
                "width": 12,
                "height": 9,
                "properties": {
                    "title": "Calls in the time shown",
                    **common,
                    "metrics": [line],
                    "view": "bar",
                    "setPeriodToTimeRange": True,
                },
            },
            {
                "type": "metric",
                "x": 0,
                "y": 11,
                "width": 6,
                "height": 6,
                "properties": {
                    "title": "RunInstances ec2 us-east-1",
                    **common,
                    "metrics": [
                        [*metric, {"label": "calls in 5 minutes"}],
                        [
                            *metric,
                            {"label": "peak, calls a second", "stat": "Maximum", "yAxis": "right"},
                        ],
                    ],
                    "view": "timeSeries",
                    "yAxis": {"left": axis, "right": axis},
                },
            },
        ],
    }


@pytest.mark.parametrize("count", [0, 1, 4, 5, 20, 400])
def test_bodies_are_as_aws_describes_them(count: int) -> None:
    """With no API, with one, and with as many as there may be, within every limit."""
    body = checked(dashboards.dashboard_body(rows(count), "API-COUNT", "eu-west-1"))

    assert len(body.widgets) == (1 if count == 0 else 3 + count)


def test_widgets_do_not_lie_upon_each_other() -> None:
    """Each field of the grid is under one widget at most."""
    body = checked(dashboards.dashboard_body(rows(9), "API-COUNT", "eu-west-1"))
    fields = [
        (x, y)
        for w in body.widgets
        for x in range(w.x, w.x + w.width)
        for y in range(w.y, w.y + w.height)
    ]

    assert len(fields) == len(set(fields))


def test_more_than_there_is_room_for() -> None:
    """A dashboard that AWS would refuse is not built."""
    with pytest.raises(UsageError, match="400"):
        dashboards.dashboard_body(rows(401), "API-COUNT", "eu-west-1")


@pytest.mark.parametrize(
    "broken",
    [
        {"widgets": [], "starts": "-P1D"},
        {"widgets": [{"type": "text", "x": 0, "y": 0, "width": 25, "height": 1}]},
        {"widgets": [{"type": "text", "x": 0, "y": 0, "width": 1, "height": 1, "properties": {}}]},
    ],
)
def test_what_aws_would_refuse_is_seen(broken: dict[str, Any]) -> None:
    """The types above do refuse: a test that cannot fail shows nothing."""
    with pytest.raises(msgspec.ValidationError):
        checked(broken)


def test_ranks() -> None:
    """Most calls come first, then names; what was not called is left out."""
    ranked = dashboards.rank_apis(
        [
            Used("B", "r", "s", 2),
            Used("A", "r", "s", 2),
            Used("C", "r", "s", 3),
            Used("D", "r", "s", 0),
        ]
    )

    assert [(row.event_name, row.calls) for row in ranked] == [("C", 3), ("A", 2), ("B", 2)]


def test_names_are_no_functions_of_labels() -> None:
    """A label can hold functions; the name of an API is not run as one."""
    body = dashboards.dashboard_body([Used("${SUM}", "r", "s", 1)], "API-COUNT", "eu-west-1")

    assert body["widgets"][1]["properties"]["metrics"][0][-1] == {"label": "$ {SUM} s r"}


@pytest.mark.parametrize("name", ["", "a b", "a/b", "ü", "x" * 256])
def test_names_that_aws_would_refuse(name: str) -> None:
    """A name is letters, digits, hyphens and underscores, up to 255."""
    with pytest.raises(UsageError, match="dashboard's name"):
        dashboards.require_name(name)


def test_the_command_line_knows_the_limits() -> None:
    """What the command line says without loading this module is what stands in it."""
    options = {option.name: option for option in cli.commands["dashboard"].params}

    assert options["name"].default == dashboards.DASHBOARD_NAME
    assert getattr(options["top"].type, "max", None) == dashboards.MOST_APIS
