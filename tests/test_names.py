"""API names that carry the date of their API's version."""

import json
from pathlib import Path

import pytest
from botocore.loaders import create_loader
from click.testing import CliRunner
from tests.real import DATA, records

from apitracker.cli.main import cli
from apitracker.core.counts import Counts
from apitracker.core.metric_sets import Rules, apply_rules
from apitracker.core.names import DATED, spellings, undated, with_dated
from apitracker.core.quotas import quota
from apitracker.core.selection import parse_selection, parse_where

LAMBDA = "lambda.amazonaws.com"
NAMES = [
    "UpdateFunctionCode",
    "UpdateFunctionCode20150331",
    "UpdateFunctionCode20150331v2",
    "UpdateFunctionConfiguration20150331v2",
    "CreateDistribution2020_05_31",
    "ListObjectsV2",
]


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("UpdateFunctionCode20150331v2", "UpdateFunctionCode"),
        ("ListFunctions20150331", "ListFunctions"),
        ("TagResource20170331v2", "TagResource"),
        ("CreateDistribution2020_05_31", "CreateDistribution"),
        ("ListObjectsV2", "ListObjectsV2"),
        ("Invoke", "Invoke"),
        ("20150331", "20150331"),
        ("Get12345678", "Get12345678"),
        ("Get20150331v2x", "Get20150331v2x"),
        ("Get20150331\n", "Get20150331\n"),
        ("", ""),
    ],
)
def test_a_date_is_left_out(name: str, plain: str) -> None:
    """A date at the end goes, with its v2; any other number stays."""
    assert undated(name) == plain


def test_no_api_of_botocore_looks_dated() -> None:
    """No API has a name of its own that ends as a date does, so that none is taken for another."""
    loader = create_loader()
    names = {
        name
        for service in ("lambda", "cloudfront", "ec2", "s3", "iam", "dynamodb", "elasticache")
        for name in loader.load_service_model(service, "service-2")["operations"]
    }

    assert len(names) > 1_000
    assert [name for name in names if undated(name) != name] == []


@pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is not here")
def test_the_dated_names_of_the_real_records() -> None:
    """Only the sources that are known for it date their names; each is a spelling that we know."""
    loader = create_loader()
    models = {
        source: loader.load_service_model(source.partition(".")[0], "service-2")["operations"]
        for source in DATED
    }
    found = {
        (each["eventSource"], each["eventName"])
        for each in records()
        if undated(each["eventName"]) != each["eventName"]
    }

    assert {source for source, _ in found} <= DATED
    assert len(found) > 5
    for source, name in found:
        path = models[source][undated(name)]["http"]["requestUri"]
        assert name in spellings(source, undated(name), path[1:11])


def test_spellings() -> None:
    """Lambda writes the date with v2 or without, CloudFront with underscores, others none."""
    assert spellings(LAMBDA, "GetPolicy", "2015-03-31") == (
        "GetPolicy",
        "GetPolicy20150331",
        "GetPolicy20150331v2",
    )
    assert spellings("cloudfront.amazonaws.com", "CreateFunction", "2020-05-31") == (
        "CreateFunction",
        "CreateFunction2020_05_31",
    )
    assert spellings("ec2.amazonaws.com", "RunInstances", "2016-11-15") == ("RunInstances",)
    assert spellings(LAMBDA, "Invoke", "") == ("Invoke",)


@pytest.mark.parametrize(
    ("glob", "selected"),
    [
        (
            "UpdateFunctionCode",
            ["UpdateFunctionCode", "UpdateFunctionCode20150331", "UpdateFunctionCode20150331v2"],
        ),
        ("UpdateFunctionCode20150331", ["UpdateFunctionCode20150331"]),
        ("UpdateFunctionCode20150331v2", ["UpdateFunctionCode20150331v2"]),
        ("*Configuration", ["UpdateFunctionConfiguration20150331v2"]),
        ("CreateDistribution", ["CreateDistribution2020_05_31"]),
        ("UpdateFunction*", NAMES[:4]),
        ("ListObjects", []),
        ("UpdateFunction", []),
        ("", []),
    ],
)
def test_where_a_person_asks(glob: str, selected: list[str]) -> None:
    """The name of an API selects its dated spellings; a dated one selects itself alone."""
    counts = Counts(("eventName",), {(name,): 1 for name in NAMES})
    where = parse_selection(None, None, [f"eventName={glob}"]).where

    assert counts.where(where).texts("eventName") == selected


def test_rules_stay_as_they_are() -> None:
    """A rule of a deployed tracker matches the name as it is written, and nothing else."""
    counts = Counts(("eventName", "second"), {(name, 0): 1 for name in NAMES})
    rules = Rules(include=parse_where(["eventName=UpdateFunctionCode"]))

    assert apply_rules(counts, rules).rows == {("UpdateFunctionCode", 0): 1}


def test_globs_of_other_fields_and_metacharacters() -> None:
    """Only a name that could go on is spelled further."""
    assert with_dated(["Get*", "Get?", "Get[ab]", ""]) == ("Get*", "Get?", "Get[ab]", "")
    assert parse_selection(None, None, ["errorCode=Throttling"]).where == {
        "errorCode": ("Throttling",)
    }


def test_on_the_command_line(tmp_path: Path) -> None:
    """Count selects UpdateFunctionCode as CloudTrail writes it, and shows what was written."""
    record = {
        "eventTime": "2026-10-01T12:00:00Z",
        "eventSource": LAMBDA,
        "eventName": "UpdateFunctionCode20150331v2",
    }
    log = tmp_path / "a.json"
    log.write_text(json.dumps({"Records": [record, {**record, "eventName": "Invoke"}]}))

    done = CliRunner().invoke(
        cli,
        [
            *f"count {log} --by eventName --format csv".split(),
            "--where=eventName=UpdateFunctionCode",
        ],
    )

    assert done.stdout == "eventName,calls\nUpdateFunctionCode20150331v2,1\n"


def test_quotas_are_those_of_the_api() -> None:
    """The quota of an API holds under each of its spellings."""
    found = [quota(LAMBDA, name) for name in spellings(LAMBDA, "GetPolicy", "2015-03-31")]

    assert [each and each.rate for each in found] == [15, 15, 15]
