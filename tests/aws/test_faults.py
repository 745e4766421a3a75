"""Nothing is lost and nothing counts twice in silence, whatever goes wrong around the function."""

import importlib.util
import os
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeAlias

import pytest
from tests.chaos.asynchronous import ATTEMPTS, Delivery, Invocation
from tests.chaos.audit import audit
from tests.chaos.campaign import Campaign, clients, deploy, expire, keep, redrive_once
from tests.chaos.drawing import BREAKS, DEATHS, REFUSALS, SILENCES, dice
from tests.chaos.payloads import pack, spread
from tests.chaos.proxy import Journal, Kind
from tests.chaos.trial import Trial, attempt
from tests.real import DATA
from tests.runtime import Outcome

CALLS = 4_777
SEEDS = (4, 5, 6)  # one of each of the function's settings
REPEATED = 8  # of which nothing is used but what comes repeatedly
RIC = importlib.util.find_spec("awslambdaric") is not None

pytestmark = [
    pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is not here"),
    pytest.mark.skipif(
        not RIC and os.environ.get("CI") != "true", reason="awslambdaric is not installed"
    ),
]
Trials: TypeAlias = Mapping[int | str, Trial]


@pytest.fixture(scope="module")
def trials(aws: str, tmp_path_factory: pytest.TempPathFactory) -> Trials:  # noqa: ARG001
    """The campaigns, by seed or by name: they take place at the same time, as they mostly wait."""

    def begin(seed: int, *, faults: bool = True, **changed: str) -> "Future[Trial]":
        folder = tmp_path_factory.mktemp("chaos")
        return pool.submit(attempt, seed, folder, faults=faults, **changed)

    with ThreadPoolExecutor(5) as pool:
        begun: dict[int | str, Future[Trial]] = {
            "ledger": begin(REPEATED, faults=False),
            "no ledger": begin(REPEATED, faults=False, LEDGER=""),
            **{seed: begin(seed) for seed in SEEDS},
        }
        return {name: each.result() for name, each in begun.items()}


@pytest.mark.parametrize("seed", SEEDS)
def test_faults(trials: Trials, seed: int) -> None:
    """
    CloudWatch has the golden counts, but for batches that are in doubt, which it has once or more.

    Payloads come one to three times, shuffled, some at the same moment. Requests are refused, lost
    and held up, and the process is killed. What Lambda gives up is redriven, under such faults too.
    """
    trial = trials[seed]

    assert not trial.wrong, "\n".join(trial.wrong)
    assert trial.after.counted == CALLS
    assert trial.after.repeats.keys() <= trial.doubts
    assert trial.injected.total() > 20


@pytest.mark.parametrize("seed", [4, 6])
def test_failures_that_outlast_retries(trials: Trials, seed: int) -> None:
    """What failed three times was kept, and nothing else is missing; redriven, it is all there."""
    trial = trials[seed]

    assert trial.before.counted < CALLS
    assert {log for log, _ in trial.before.missing} <= {*trial.campaign.kept.values()}
    assert trial.after.missing == []
    assert trial.after.counted == CALLS


@pytest.mark.parametrize("killed", [("send", 3), ("DELETE", 1)])
def test_redrive_dies_after_a_doubt(aws: str, name: str, killed: tuple[str, int]) -> None:
    """A batch that ``apitracker redrive`` sent twice is in doubt, however the command ends."""
    wrong = {("send", 1): Kind.RESET_DONE, killed: Kind.KILLED}
    payload = next(pack(dice("redrive"), spread(dice("redrive"))))  # of more than one batch
    delivery = Delivery(0, payload.event, 0)
    failed = Invocation(1, delivery, ATTEMPTS, Outcome("error", None, "", cold=False))
    stack = deploy(clients(aws), name, {})
    kept = {keep(aws, stack, failed): payload.log}
    campaign = Campaign(0, stack, {0: payload}, [], kept, Journal())

    _, first = redrive_once(campaign, aws, lambda step, number: wrong.get((step, number)))
    expire(campaign, aws)
    _, second = redrive_once(campaign, aws, lambda *_: None)

    found = audit(campaign, clients(aws), first | second, redriven=True)
    assert found.repeats == {(payload.log, "api.0"): 1}
    assert (payload.log, "api.0") in first | second


def test_each_moment_to_die(trials: Trials) -> None:
    """
    The function died before the claim and after it, after the send and before the mark.

    And requests were refused, lost and held up.
    """
    injected = set().union(*(trials[seed].injected for seed in SEEDS))

    assert injected >= {*DEATHS}
    kinds = {kind for _, kind in injected}
    assert kinds & {*REFUSALS}
    assert kinds & {*BREAKS}
    assert kinds & {*SILENCES}


def test_repeated_deliveries(trials: Trials) -> None:
    """What only comes again, or twice at the same moment, counts once, and nothing is in doubt."""
    trial = trials["ledger"]

    assert not trial.wrong, "\n".join(trial.wrong)
    assert trial.after.counted == CALLS
    assert (trial.after.repeats, trial.doubts) == ({}, set())
    lines = [line for each in trial.campaign.invocations for line in each.outcome.lines]
    tracked = [line for line in lines if line["message"] == "tracked"]
    assert len(tracked) == len(trial.campaign.payloads) > len(trial.campaign.logs)
    assert sum(line["Counted"] for line in tracked) == CALLS
    assert sum(line["Published"] for line in tracked) == CALLS


def test_without_a_ledger(trials: Trials) -> None:
    """Without a ledger the same deliveries count again, and the campaign finds each that does."""
    trial = trials["no ledger"]

    again = len(trial.campaign.payloads) - len(trial.campaign.logs)
    assert (
        sum(times for (_, batch), times in trial.before.repeats.items() if batch == "api.0")
        == again
    )
    assert len(trial.before.wrong) == len(trial.before.repeats)
    assert all(each.endswith("and nothing says so") for each in trial.before.wrong)
