"""A local AWS: ministack from its own virtualenv, as a child process on a free loopback port."""

import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest

VENV = Path(__file__).parents[2] / ".venv-emulator"
HOW = (
    f"no {VENV.name}: python3 -m venv {VENV.name} && "
    f"{VENV.name}/bin/pip install -r requirements/emulator.txt"
)
START_SECONDS = 30
DUMMY = {
    "AWS_ACCESS_KEY_ID": "123456789012",  # becomes the account's id
    "AWS_SECRET_ACCESS_KEY": "dummy",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the local AWS."""
    if not VENV.is_dir():
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(HOW)
    folder = tmp_path_factory.mktemp("ministack")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    env = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")} | {
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "TMPDIR": str(folder),
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
        "LAMBDA_ASYNC_RETRY_BASE_SECONDS": "0.2",
        "DOCKER_HOST": "unix:///nonexistent",
    }
    log = folder / "log"
    with (
        log.open("wb") as out,
        subprocess.Popen(
            [VENV / "bin" / "ministack"], cwd=folder, env=env, stdout=out, stderr=subprocess.STDOUT
        ) as child,
    ):
        try:
            _await(f"{url}/_ministack/ready", child, log)
            yield url
        finally:
            child.terminate()
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()


def _await(url: str, child: "subprocess.Popen[bytes]", log: Path) -> None:
    """Return once *url* answers; fail when *child* ends before, or takes too long."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and child.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=1):  # noqa: S310 - our own child
                return
        except OSError:
            time.sleep(0.05)
    pytest.fail(f"the local AWS did not start: {log.read_text(errors='replace')[-2000:]}")


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
