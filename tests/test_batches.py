"""Counts become batches that CloudWatch takes, with the predecessor's statistics."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator
from hypothesis import given
from hypothesis import strategies as st

from apitracker.core.counts import Counts
from apitracker.core.datums import valid
from apitracker.core.fields import Row, rows
from apitracker.core.metric_sets import API, MetricSelection
from apitracker.core.model import Call
from apitracker.tracker import put_metric_data
from apitracker.tracker.put_metric_data import Batch, Plan, plan, request

T = 1_688_989_327  # 2023-07-10T11:42:07Z
MINUTE = 1_688_989_320  # 2023-07-10T11:42:00Z
CLOUDWATCH = ServiceModel(Loader().load_service_model("cloudwatch", "service-2"), "cloudwatch")
PUT = CLOUDWATCH.operation_model("PutMetricData").input_shape
DATUM = PUT.members["MetricData"].member
SHAPES = {
    "MetricName": DATUM.members["MetricName"],
    "Value": DATUM.members["Dimensions"].member.members["Value"],
    "Name": DATUM.members["Dimensions"].member.members["Name"],
    "Namespace": PUT.members["Namespace"],
}
ASCII = re.compile(r"[ -~]*[!-~][ -~]*")
"""What the API reference asks of names and values: ASCII, no control characters, not blank."""

names = st.sampled_from(["GetObject", "PutObject", "é", "", "a b"])
calls = st.lists(
    st.builds(
        Call,
        second=st.sampled_from([-61, -1, 0, 1, 59, 60, 61, T, T + 1, T + 60]),
        eventName=names,
        eventSource=st.sampled_from(["s3.amazonaws.com", "ec2.amazonaws.com", ""]),
        awsRegion=st.sampled_from(["eu-west-1", "us-east-1"]),
        errorCode=st.sampled_from(["", "AccessDenied"]),
        readOnly=st.sampled_from(["", "true", "false"]),
    ),
    max_size=60,
)
texts = st.text(
    st.one_of(st.characters(), st.characters(max_codepoint=0x7F), st.sampled_from(" :~_\x7f\ud800"))
)


class Series(NamedTuple):
    """One metric in one minute."""

    name: str
    region: str
    source: str
    minute: int


class Statistics(NamedTuple):
    """What CloudWatch shows of a metric in a minute."""

    total: int
    samples: int
    least: int
    greatest: int

    @property
    def average(self) -> float:
        """The mean call count of a second that had calls."""
        return self.total / self.samples


def planned(calls: list[Call], selection: MetricSelection = MetricSelection()) -> Plan:  # noqa: B008 - frozen
    """Count and plan *calls* as the Lambda does."""
    return plan(Counts(selection.fields, Counter(rows(calls, selection.fields))), selection)


def selected(
    include: Mapping[str, Iterable[str]], exclude: Mapping[str, Iterable[str]] | None = None
) -> MetricSelection:
    """The selection with these rules, as settings have them."""
    texts = (
        " ".join(f"{field}={glob}" for field, globs in rule.items() for glob in globs)
        for rule in (include, exclude or {})
    )
    return MetricSelection("API-COUNT", ("api",), *texts)


def sent(plan: Plan) -> list[dict[str, Any]]:
    """The data in the batches' bodies, as CloudWatch reads them."""
    return [datum for batch in plan.batches for datum in json.loads(batch.body)["MetricData"]]


def statistics(values: Mapping[Series, Iterable[int]]) -> dict[Series, Statistics]:
    """What CloudWatch makes of single *values*."""
    lists = {series: list(some) for series, some in values.items()}
    return {s: Statistics(sum(v), len(v), min(v), max(v)) for s, v in lists.items()}


def ours(data: list[dict[str, Any]]) -> dict[Series, Statistics]:
    """The statistics of what we send."""
    values: dict[Series, list[int]] = defaultdict(list)
    for datum in data:
        region, source = (dimension["Value"] for dimension in datum["Dimensions"])
        series = Series(datum["MetricName"], region, source, datum["Timestamp"] // 60 * 60)
        for value, n in zip(datum["Values"], datum["Counts"], strict=True):
            values[series] += [value] * n
    return statistics(values)


def predecessor(calls: list[Call]) -> dict[Series, Statistics]:
    """The statistics of what it sends: a datum a second, whose value is the calls in it."""
    seconds = Counter(
        (valid(c.eventName, 255), c.awsRegion or "-", c.eventSource or "-", c.second) for c in calls
    )
    values: dict[Series, list[int]] = defaultdict(list)
    for (name, region, source, second), n in seconds.items():
        values[Series(name, region, source, second // 60 * 60)].append(n)
    return statistics(values)


def many(n: int, **fields: str) -> Counts:
    """Counts of *n* metrics, as `plan` takes them for the set ``api``."""
    region = fields.get("awsRegion", "eu-west-1")
    source = fields.get("eventSource", "s3.amazonaws.com")
    return Counts(API.fields, {(f"Name{at:04}", region, source, T): 1 for at in range(n)})


class TestPlan:
    """What is sent, and in which batches."""

    def test_example(self) -> None:
        """Three busy seconds of a minute, two alike, are one datum; another minute is another."""
        where = ("s3.amazonaws.com", "eu-west-1")
        seconds = [T, T, T, T + 1, T + 2, T + 2, T + 2, T + 60]
        found = planned([Call(second, "GetObject", *where) for second in seconds])
        dimensions = (
            b'"Dimensions":[{"Name":"awsRegion","Value":"eu-west-1"},'
            b'{"Name":"eventSource","Value":"s3.amazonaws.com"}]'
        )
        assert [batch.body for batch in found.batches] == [
            b'{"Namespace":"API-COUNT","MetricData":['
            b'{"MetricName":"GetObject",' + dimensions + b',"Timestamp":1688989320,'
            b'"Values":[1,3],"Counts":[1,2]},'
            b'{"MetricName":"GetObject",' + dimensions + b',"Timestamp":1688989380,'
            b'"Values":[1],"Counts":[1]}]}'
        ]
        assert found.excluded == 0
        assert [datum.calls for batch in found.batches for datum in batch.datums] == [7, 1]

    @given(calls)
    def test_statistics_are_those_of_the_predecessor(self, calls: list[Call]) -> None:
        """Sum, SampleCount, Minimum, Maximum and Average are the same, metric by metric."""
        found = ours(sent(planned(calls)))
        expected = predecessor(calls)
        assert found == expected
        assert {s: v.average for s, v in found.items()} == {
            s: v.average for s, v in expected.items()
        }

    def test_an_absent_name_and_a_dash_are_one_metric(self) -> None:
        """Both are published as ``-``, so a second that has both is one value, as it was before."""
        calls = [Call(T, "", "s3", "eu"), Call(T, "-", "s3", "eu")]
        assert ours(sent(planned(calls))) == {
            Series("-", "eu", "s3", MINUTE): Statistics(2, 1, 2, 2)
        }

    @given(calls)
    def test_a_datum_is_a_metric_and_a_minute(self, calls: list[Call]) -> None:
        """No metric has two data in a minute, nor two counts of one value, and none is zero."""
        data = sent(planned(calls))
        series = [json.dumps([d["MetricName"], d["Dimensions"], d["Timestamp"]]) for d in data]
        assert len(series) == len(set(series))
        for datum in data:
            assert datum["Timestamp"] % 60 == 0
            assert len(datum["Values"]) == len(datum["Counts"]) == len(set(datum["Values"])) <= 60
            assert min(datum["Values"] + datum["Counts"]) >= 1
            assert sum(datum["Counts"]) <= 60

    @pytest.mark.parametrize(
        ("n", "batches"), [(0, []), (1, [1]), (999, [999]), (1000, [1000]), (1001, [1000, 1])]
    )
    def test_batches_are_full_but_never_over_full(self, n: int, batches: list[int]) -> None:
        """A batch holds at most 1,000 data, and as many as it may."""
        found = plan(many(n), MetricSelection())
        assert [len(batch.datums) for batch in found.batches] == batches
        assert [len(json.loads(batch.body)["MetricData"]) for batch in found.batches] == batches

    @pytest.mark.parametrize("character", ['"', "\\", "a"])
    def test_long_values_make_more_batches(self, character: str) -> None:
        """No batch is over 1,000,000 bytes, whatever JSON makes of its values; nothing is lost."""
        counts = many(1000, awsRegion=character * 1024, eventSource=character * 1023 + ".")
        found = plan(counts, MetricSelection())
        assert len(found.batches) > 1
        assert max(len(batch.body) for batch in found.batches) <= 1_000_000
        assert [d["MetricName"] for d in sent(found)] == [f"Name{at:04}" for at in range(1000)]
        assert {d["Dimensions"][0]["Value"] for d in sent(found)} == {character * 1024}

    @given(calls, st.randoms())
    def test_order_does_not_matter(self, calls: list[Call], random: Any) -> None:  # noqa: ANN401
        """The same counts give the same batches, byte for byte, in whatever order they come."""
        shuffled = calls.copy()
        random.shuffle(shuffled)
        assert planned(shuffled) == planned(calls)


class TestRules:
    """Which calls are published."""

    CALLS = (
        Call(T, "GetObject", "s3.amazonaws.com", "eu-west-1", readOnly="true"),
        Call(T, "PutObject", "s3.amazonaws.com", "us-east-1", readOnly="false"),
        Call(T, "RunInstances", "ec2.amazonaws.com", "eu-west-1", readOnly="false"),
        Call(T, "Decrypt", "kms.amazonaws.com", "eu-west-1", readOnly="", errorCode="SlowDown"),
    )

    @pytest.mark.parametrize(
        ("include", "exclude", "expected"),
        [
            ({}, {}, "Decrypt GetObject PutObject RunInstances"),
            ({"eventSource": ["s3.amazonaws.com"]}, {}, "GetObject PutObject"),
            ({"eventSource": ["s3.*", "ec2.*"]}, {}, "GetObject PutObject RunInstances"),
            ({"eventSource": ["S3.*"]}, {}, ""),
            ({"eventSource": ["s3"]}, {}, ""),
            ({"eventName": ["?etObject"]}, {}, "GetObject"),
            ({"readOnly": ["true"]}, {}, "GetObject"),
            ({"readOnly": [""]}, {}, "Decrypt"),
            ({"eventSource": ["s3.*"], "awsRegion": ["eu-*"]}, {}, "GetObject"),
            ({"outcome": ["throttled"]}, {}, "Decrypt"),
            ({}, {"readOnly": ["true"]}, "Decrypt PutObject RunInstances"),
            ({}, {"eventSource": ["s3.*", "ec2.*"]}, "Decrypt"),
            ({}, {"eventSource": ["s3.*"], "awsRegion": ["eu-*"]}, ""),
            ({"eventSource": ["s3.*"]}, {"readOnly": ["true"]}, "PutObject"),
            ({"eventSource": ["s3.*"]}, {"eventSource": ["s3.*"]}, ""),
            ({}, {"eventName": ["Get[NO]*"], "readOnly": ["f*"]}, "Decrypt"),
        ],
    )
    def test_examples(
        self, include: dict[str, list[str]], exclude: dict[str, list[str]], expected: str
    ) -> None:
        """Included is what matches in all fields; excluded, what matches in any."""
        found = planned(list(self.CALLS), selected(include, exclude))
        assert [datum["MetricName"] for datum in sent(found)] == expected.split()
        assert found.excluded == 4 - len(expected.split())

    @pytest.mark.parametrize(
        "selection",
        [
            MetricSelection(include="minute=2023-07-10T11:42Z"),
            MetricSelection(exclude="hour=2023-07-10T12*"),
            MetricSelection(include="day=2023-07-10* second=2023-07-10T11:42:*"),
        ],
    )
    def test_times_alone_are_rules_too(self, selection: MetricSelection) -> None:
        """A rule of nothing but times, which settings take, keeps and leaves out like others."""
        found = planned([Call(T, "In", "s3", "eu"), Call(T + 3_600, "Out", "s3", "eu")], selection)
        assert [datum["MetricName"] for datum in sent(found)] == ["In"]
        assert found.excluded == 1

    @given(
        calls,
        st.dictionaries(
            st.sampled_from(["eventName", "readOnly", "errorCode"]), st.just(("*e*", "A*"))
        ),
        st.dictionaries(
            st.sampled_from(["eventSource", "readOnly", "second"]), st.just(("true", "s3*"))
        ),
    )
    def test_balance(
        self,
        calls: list[Call],
        include: dict[str, tuple[str, ...]],
        exclude: dict[str, tuple[str, ...]],
    ) -> None:
        """What is kept and what is excluded make all calls; what is kept stays as it was."""
        found = planned(calls, selected(include, exclude))
        kept = sum(datum.calls for batch in found.batches for datum in batch.datums)
        assert kept + found.excluded == len(calls)
        everything = ours(sent(planned(calls)))
        for series, some in ours(sent(found)).items():
            assert some.total <= everything[series].total


class TestModel:
    """What botocore's model of CloudWatch says of our requests."""

    @given(
        st.dictionaries(
            st.tuples(texts, texts, texts, st.integers(0, 4_000_000_000)),
            st.integers(1, 10**9),
            max_size=20,
        )
    )
    def test_bodies_are_valid(self, counted: dict[Row, int]) -> None:
        """Whatever is counted, botocore finds nothing wrong in the body, nor do we lose a call."""
        found = plan(Counts(API.fields, counted), MetricSelection())
        for batch in found.batches:
            body = json.loads(batch.body)
            assert body.keys() == {"Namespace", "MetricData"}
            assert not ParamValidator().validate(body, PUT).has_errors()
            for datum in body["MetricData"]:
                _check(datum["MetricName"], "MetricName")
                for dimension in datum["Dimensions"]:
                    _check(dimension["Name"], "Name")
                    _check(dimension["Value"], "Value")
        assert sum(d.calls for b in found.batches for d in b.datums) == sum(counted.values())

    def test_limits(self) -> None:
        """Our numbers are those of the model, and of the text in it where it has no number."""
        text = CLOUDWATCH.operation_model("PutMetricData").documentation
        assert "no more than 1000 different metrics" in text
        assert put_metric_data.BATCH_DATUMS == 1000
        assert "limited to 1 MB in size" in text
        assert put_metric_data.BATCH_BYTES == 1_000_000

    def test_the_namespace_is_valid(self) -> None:
        """The predecessor's namespace is the set's, and the model takes it."""
        assert API.namespace == "API-COUNT"
        _check(API.namespace, "Namespace")

    def test_request_of_a_part(self) -> None:
        """A batch's body is what `request` writes of its data."""
        for batch in plan(many(3), MetricSelection()).batches:
            body = request("API-COUNT", batch.datums)
            assert batch == Batch("api.0", "API-COUNT", batch.datums, body)


def _check(text: str, shape: str) -> None:
    bounds = SHAPES[shape].metadata
    assert bounds["min"] <= len(text) <= bounds["max"]
    assert re.fullmatch(bounds.get("pattern", ".*"), text)
    assert ASCII.fullmatch(text)
