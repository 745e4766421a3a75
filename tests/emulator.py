"""A local AWS: ministack from its own virtualenv, as a child process on a free loopback port."""

import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

VENV = Path(__file__).parents[1] / ".venv-emulator"
START_SECONDS = 30
DUMMY = {
    "AWS_ACCESS_KEY_ID": "123456789012",  # becomes the account's id
    "AWS_SECRET_ACCESS_KEY": "dummy",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}


@contextmanager
def emulator(folder: Path, **more: str) -> Iterator[str]:
    """Run the local AWS, which keeps its files in *folder*, with *more* variables; its address."""
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
        **more,
    }
    log = folder / "log"
    with (
        log.open("wb") as out,
        subprocess.Popen(
            [VENV / "bin" / "ministack"], cwd=folder, env=env, stdout=out, stderr=subprocess.STDOUT
        ) as child,
    ):
        try:
            await_answer(f"{url}/_ministack/ready", child, log)
            yield url
        finally:
            child.terminate()
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()


def await_answer(url: str, child: "subprocess.Popen[bytes]", log: Path) -> None:
    """Return once *url* answers; fail when *child* ends before, or takes too long."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and child.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - our own child
                return
        except OSError:
            time.sleep(0.05)
    text = log.read_text(errors="replace")[-2000:]
    raise AssertionError(f"{url} did not answer: {text}")
