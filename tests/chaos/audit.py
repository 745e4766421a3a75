"""What CloudWatch has after a campaign is held against what was delivered, to the last call."""

import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

import msgspec
from tests import real
from tests.chaos.asynchronous import Invocation
from tests.chaos.campaign import Campaign, Client, Doubts
from tests.chaos.payloads import DAYS
from tests.real import Counts, golden, of_day, published

from apitracker.core.metric_sets import USAGE, count_by_set
from apitracker.settings import load
from apitracker.tracker.envelopes import open_event
from apitracker.tracker.ledger import Decision
from apitracker.tracker.put_metric_data import Batch
from apitracker.tracker.tracking import count_log, cut_log, select_metrics

ERRORS = {"HeldError", "ServiceError", "TransportError", "UnpublishedError"}
PARTS = ("Counted", "Duplicates", "Skipped", "Rejected")

Name: TypeAlias = tuple[str, str]
"""The ids of a log and of a batch, which name a batch among all."""


class Audit(NamedTuple):
    """
    What was found: all that is *wrong*, in words.

    *counted* are the calls that CloudWatch has at least once; *repeats* says of batches how often
    CloudWatch has them too often. *missing* batches are of logs that are kept.
    """

    wrong: list[str]
    counted: int
    repeats: dict[Name, int]
    missing: list[Name]


def audit(campaign: Campaign, client: Client, told: Doubts, *, redriven: bool) -> Audit:
    """
    Hold what CloudWatch has against the golden counts, and against what went there.

    *told* are the batches that are said to be in doubt. What is kept may be missing until it is
    *redriven*.
    """
    batches = cut(campaign, client)
    taken = Counter(dict.fromkeys(batches, 0))
    wrong = list(_sent(campaign, batches, taken))
    wrong += _planned(campaign, batches, taken)
    kept = () if redriven else campaign.kept.values()
    missing = sorted(name for name, times in taken.items() if not times)
    wrong += [f"{name}: lost" for name in missing if name[0] not in kept]
    repeats = {name: times - 1 for name, times in taken.items() if times > 1}
    wrong += [
        f"{name}: counts {again + 1} times, and nothing says so"
        for name, again in sorted(repeats.items())
        if name not in told
    ]
    wrong += [f"{name}: in doubt, but there is no such batch" for name in told - batches.keys()]
    wrong += _there(campaign, client, batches, taken)
    wrong += _own_metrics(campaign, batches)
    wrong += _counted_again(campaign)
    calls = sum(
        batch.calls
        for name, batch in batches.items()
        if taken[name] and not name[1].startswith("service.")
    )
    return Audit(wrong, calls, repeats, missing)


def cut(campaign: Campaign, client: Client) -> dict[Name, Batch]:
    """Cut each log into its batches, as was decided when it was first claimed."""
    table = client("dynamodb")
    undecided = Decision(0, select_metrics(load(campaign.stack.environ)[0]))
    batches: dict[Name, Batch] = {}
    for each in campaign.logs.values():
        item = table.get_item(
            TableName=campaign.stack.table, Key={"id": {"S": each.log}}, ConsistentRead=True
        )
        text = item.get("Item", {}).get("decision", {}).get("S")
        decision = msgspec.json.decode(text, type=Decision) if text else undecided
        [log] = open_event(json.loads(each.event))
        counts, _ = count_log(log, decision.selection, None)
        shares, _ = count_by_set(counts, decision.selection)
        found = cut_log(shares, decision).batches
        batches |= {(each.log, batch.id): batch for batch in found}
    return batches


def _sent(campaign: Campaign, batches: Mapping[Name, Batch], taken: Counter[Name]) -> Iterator[str]:
    """Count in *taken* how often AWS took each of *batches*; yield what else was sent."""
    names = {batch.body: name for name, batch in batches.items()}
    for request in campaign.journal.requests:
        if request.step != "send":
            continue
        name = names.get(request.body)
        if name is None:
            yield f"run {request.run}: a batch that was not decided was sent"
        elif request.status not in {0, 200}:
            yield f"run {request.run}: {name}: refused with {request.status}"
        elif request.done:
            taken[name] += 1


def _planned(
    campaign: Campaign, batches: Mapping[Name, Batch], taken: Mapping[Name, int]
) -> Iterator[str]:
    """Yield what is wrong with *batches*, were each taken once."""
    service = {name: batch for name, batch in batches.items() if name[1].startswith("service.")}
    apis = {name: batch for name, batch in batches.items() if name not in service}
    whole = _total(apis, dict.fromkeys(batches, 1))
    delivered = real.counted(each for log in campaign.logs.values() for each in log.messages)
    budget = campaign.stack.environ.get("APITRACKER_BUDGET")
    if budget:
        # Names beyond the budget are not told apart; the calls are there all the same.
        whole, delivered = _minutes(whole), _minutes(delivered)
        metrics = {
            (datum.metric_name, datum.dimensions)
            for name, batch in batches.items()
            # What nobody has claimed yet is not decided yet either.
            if taken[name] and batch.namespace == campaign.stack.namespace
            for datum in batch.datums
        }
        if len(metrics) > int(budget):
            yield f"{len(metrics)} metrics are beyond the budget of {budget}"
        if all(batch.namespace == campaign.stack.namespace for batch in batches.values()):
            yield "nothing is beyond the budget"
    elif of_day(whole) != golden():
        yield "the batches do not hold the golden counts"
    if whole != delivered:
        yield "the batches do not hold what was delivered"
    if service and _services(_total(service, dict.fromkeys(batches, 1))) != _services(delivered):
        yield "the batches by service do not hold what was delivered"


def _there(
    campaign: Campaign, client: Client, batches: Mapping[Name, Batch], taken: Mapping[Name, int]
) -> Iterator[str]:
    """Yield where CloudWatch has anything but *batches*, as often as they were *taken*."""
    cloudwatch = client("cloudwatch")
    found: Counts = Counter()
    for namespace in (campaign.stack.namespace, campaign.stack.namespace + USAGE):
        found += published(cloudwatch, namespace, days=DAYS + 1)
    sent = _total(batches, taken)
    if found != sent:
        yield f"CloudWatch has {found - sent} too much and {sent - found} too little"


def _own_metrics(campaign: Campaign, batches: Mapping[Name, Batch]) -> Iterator[str]:
    """Yield what is wrong with what the function says of itself, and how it ended."""
    worth = {batch.body: batch.calls for batch in batches.values()}
    heard: dict[int, list[int]] = defaultdict(lambda: [0])
    killed = set()
    for request in campaign.journal.requests:
        if request.step == "send" and request.done and request.heard:
            heard[request.run].append(heard[request.run][-1] + worth.get(request.body, 0))
        if request.killed:
            killed.add(request.run)
    for each in campaign.invocations:
        about = f"run {each.run} ({each.outcome.kind})"
        yield from (f"{about}: {fault}" for fault in _ending(each, killed=each.run in killed))
        # The last answer may have come in the moment in which the function gave up.
        sums = heard[each.run][-2 if each.failed else -1 :]
        for line in each.outcome.lines:
            if line["message"] in {"tracked", "failed"} and line["Published"] not in sums:
                yield f"{about}: {sums[-1]} calls were published, not {line['Published']}"
            if line["message"] == "tracked":
                records = len(campaign.logs[line["log"]].messages)
                if {line["Received"], sum(line[part] for part in PARTS)} != {records}:
                    yield f"{about}: does not balance: {line}"


def _counted_again(campaign: Campaign) -> Iterator[str]:
    """Yield the logs that more than one invocation says to have counted, without any doubt."""
    if campaign.stack.environ["APITRACKER_LEDGER"]:
        doubtful = {log for log, _ in campaign.doubts}
        lines = [line for each in campaign.invocations for line in each.outcome.lines]
        times = Counter(line["log"] for line in lines if line.get("Counted"))
        for log in [log for log in times if times[log] > 1 and log not in doubtful]:
            yield f"{log}: {times[log]} invocations say that they counted it"


def _ending(invocation: Invocation, *, killed: bool) -> Iterator[str]:
    """Yield how *invocation* ended, if it may not end so."""
    outcome = invocation.outcome
    said = [line["message"] for line in outcome.lines]
    last: Any = {"response": "tracked", "error": "failed"}.get(outcome.kind)
    if killed != (outcome.kind == "exit") or outcome.kind == "init":
        yield outcome.logs[-500:]
    elif outcome.kind == "error" and outcome.body["errorType"] not in ERRORS:
        yield str(outcome.body)
    elif last and (said.count(last) != 1 or said[-1] != last):
        yield f"said {said}"


def _total(batches: Mapping[Name, Batch], times: Mapping[Name, int]) -> Counts:
    """Add up what *batches* hold, each so many *times*, as CloudWatch gives it."""
    found: Counts = Counter()
    for name, batch in batches.items():
        for datum in batch.datums:
            minute = time.strftime("%Y-%m-%dT%H:%M", time.gmtime(datum.timestamp))
            region, source = (each.value for each in datum.dimensions)
            found[minute, datum.metric_name, region, source] += datum.calls * times[name]
    return +found


def _services(counts: Counts) -> Counts:
    """Add up *counts* of whatever eventName."""
    found: Counts = Counter()
    for (minute, _, region, source), calls in counts.items():
        found[minute, "", region, source] += calls
    return found


def _minutes(counts: Counts) -> Counts:
    """Add up *counts* of the same minute."""
    found: Counts = Counter()
    for (minute, *_), calls in counts.items():
        found[minute, "", "", ""] += calls
    return found
