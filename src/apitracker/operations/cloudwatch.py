"""CloudWatch's metrics: which there are, and their sums."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from apitracker.aws import Client, paginate
from apitracker.errors import ServiceError

QUERIES: Final = 500  # metrics in one GetMetricData request
POINTS_PER_ANSWER: Final = 100_800  # data points in the answer to one


class Metric(NamedTuple):
    """A CloudWatch metric, with its dimensions as pairs of name and value."""

    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...]


def list_metrics(cloudwatch: Client, namespace: str, **parameters: object) -> Iterator[Metric]:
    """List the metrics of *namespace* that had data in the last two weeks."""
    for answer in paginate(
        cloudwatch, "cloudwatch:ListMetrics", "list_metrics", Namespace=namespace, **parameters
    ):
        for found in answer["Metrics"]:
            dimensions = sorted((each["Name"], each["Value"]) for each in found["Dimensions"])
            yield Metric(namespace, found["MetricName"], tuple(dimensions))


def get_sums(
    cloudwatch: Client, metrics: Iterable[Metric], *, period: int, start: int, end: int
) -> dict[Metric, dict[int, float]]:
    """
    Return the sums of *metrics* from *start* to before *end*, in seconds since 1970.

    They come by the start of each *period*, without those in which there were no data. AWS charges
    a cent for a thousand metrics; each is requested once.
    """
    wanted = list(metrics)
    found: dict[Metric, dict[int, float]] = {metric: {} for metric in wanted}
    at_once = metrics_per_request(period, start, end)
    for some in (wanted[at : at + at_once] for at in range(0, len(wanted), at_once)):
        for answer in paginate(
            cloudwatch,
            "cloudwatch:GetMetricData",
            "get_metric_data",
            MetricDataQueries=_queries(some, period),
            StartTime=start,
            EndTime=end,
        ):
            for result in answer["MetricDataResults"]:
                if result.get("StatusCode") in {"InternalError", "Forbidden"}:
                    said = "; ".join(each.get("Value", "") for each in result.get("Messages", []))
                    raise ServiceError(f"cloudwatch:GetMetricData gave no data: {said}")
                times = (int(time.timestamp()) for time in result["Timestamps"])
                values = zip(times, result["Values"], strict=True)
                metric = some[int(result["Id"].removeprefix("m"))]
                found[metric].update(values)
    return found


def metrics_per_request(period: int, start: int, end: int) -> int:
    """
    Return how many metrics fit into one GetMetricData request with a single page of answers.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html
    """
    return max(1, min(QUERIES, POINTS_PER_ANSWER * period // max(period, end - start)))


def name_metric(metric: Metric) -> dict[str, Any]:
    """Return *metric* as CloudWatch's requests name one."""
    return {
        "Namespace": metric.namespace,
        "MetricName": metric.name,
        "Dimensions": [{"Name": name, "Value": value} for name, value in metric.dimensions],
    }


def _queries(metrics: Sequence[Metric], period: int) -> list[dict[str, Any]]:
    """Return a query for each of *metrics*; the number in its id is the metric's place."""
    return [
        {
            "Id": f"m{number}",
            "MetricStat": {
                "Metric": name_metric(metric),
                "Period": period,
                "Stat": "Sum",
            },
        }
        for number, metric in enumerate(metrics)
    ]
