"""What tests of an account share: a local AWS, its address, clients of it."""

import os
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import boto3
import pytest
from tests.emulator import DUMMY, VENV, emulator

HOW = (
    f"no {VENV.name}: python3 -m venv {VENV.name} && "
    f"{VENV.name}/bin/pip install -r requirements/emulator.txt"
)


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the local AWS."""
    if not VENV.is_dir():
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(HOW)
    with emulator(tmp_path_factory.mktemp("ministack")) as url:
        yield url


@pytest.fixture
def dummies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dummy credentials and nothing else of AWS in the environment."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in DUMMY.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def account(aws: str, dummies: None, monkeypatch: pytest.MonkeyPatch) -> str:  # noqa: ARG001
    """An environment in which the local AWS is the only one; its address."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws)
    return aws


@pytest.fixture
def client(account: str) -> Iterator[Callable[[str], Any]]:  # noqa: ARG001
    """Make clients of the local AWS by name of service."""
    made = []

    def make(service: str) -> Any:  # noqa: ANN401 - boto3 has no types
        made.append(boto3.session.Session().client(service))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def name() -> str:
    """A name that no other test has."""
    return f"t-{uuid4().hex[:12]}"


@pytest.fixture
def table(client: Callable[[str], Any], name: str) -> Iterator[str]:
    """The name of a ledger as the stack makes it."""
    dynamodb = client("dynamodb")
    dynamodb.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    yield name
    dynamodb.delete_table(TableName=name)
