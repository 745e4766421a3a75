"""The command line as users run it: the installed command, in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

APITRACKER: Final = Path(sys.executable).with_name("apitracker")

NO_ACCOUNT: Final = {
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}
"""Settings that keep the AWS account of the developer out of the tests."""

SECONDS: Final = 300  # after which a command hangs, on the slowest of machines


def run(
    folder: Path, *args: object, stdin: bytes | str = b"", **env: str
) -> "subprocess.CompletedProcess[str]":
    """Run the command in *folder*, with no settings and no AWS account but those in *env*."""
    return _run(args, folder, {**unset(), **NO_ACCOUNT, **env}, stdin)


def run_in_account(*args: object, **env: str) -> "subprocess.CompletedProcess[str]":
    """Run the command with the AWS account of the test's environment, and the settings of *env*."""
    return _run(args, Path.cwd(), {**os.environ, **env}, b"")


def shell(folder: Path, line: str) -> "subprocess.CompletedProcess[str]":
    """Run *line* in bash, where ``apitracker`` is our command, as `run` does."""
    env = {**unset(), **NO_ACCOUNT, "PATH": f"{APITRACKER.parent}:{os.environ['PATH']}"}
    return subprocess.run(
        ["/bin/bash", "-c", line],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )


def unset() -> dict[str, str]:
    """Return this process's environment without the settings of apitracker and AWS."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("APITRACKER_", "AWS_"))
    }


def _run(
    args: tuple[object, ...], folder: Path, env: Mapping[str, str], stdin: bytes | str
) -> "subprocess.CompletedProcess[str]":
    """Run the command; its output is decoded, and line endings stay as they were written."""
    done = subprocess.run(
        [APITRACKER, *(arg if isinstance(arg, bytes) else str(arg) for arg in args)],
        cwd=folder,
        env=env,
        input=stdin.encode() if isinstance(stdin, str) else stdin,
        capture_output=True,
        check=False,
        timeout=SECONDS,
    )
    out, err = done.stdout.decode(), done.stderr.decode()
    return subprocess.CompletedProcess(done.args, done.returncode, out, err)
