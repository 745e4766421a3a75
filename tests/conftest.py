"""Shared by all tests: a working Ctrl-C, a clock that tests move, a CloudWatch that follows it."""

import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings
from tests.payloads import FakeClock
from tests.runtime import CloudWatch

from apitracker.tracker.signing import CLOUDWATCH, Connection, Credentials

# A shell lets what it runs in the background ignore Ctrl-C, and whatever that runs inherits it.
signal.signal(signal.SIGINT, signal.default_int_handler)


# An example may take as long as a busy machine needs.
settings.register_profile("apitracker", deadline=None)
settings.load_profile("apitracker")


@pytest.fixture
def clock() -> FakeClock:
    """A clock of the test's own."""
    return FakeClock()


@pytest.fixture
def cloudwatch(clock: FakeClock) -> Iterator[CloudWatch]:
    """A CloudWatch of the test's own, that goes by its clock."""
    with CloudWatch(clock.now).running() as server:
        yield server


@pytest.fixture
def poster(cloudwatch: CloudWatch, clock: FakeClock) -> Iterator[Connection]:
    """A connection to the test's CloudWatch, which takes the place of a ledger's too."""
    keys = Credentials("123456789012", "secret", "token")
    with Connection(
        CLOUDWATCH, "us-east-1", cloudwatch.url, credentials=lambda: keys, now=clock.now
    ) as made:
        yield made
