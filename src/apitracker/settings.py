"""
Settings: one table, read once and checked at the door.

Each setting is the environment variable ``APITRACKER_<NAME>``; docs/settings.md lists them.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

import msgspec
from msgspec import Struct

from apitracker.errors import SettingsError

# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html
NAMESPACE: Final = re.compile(r"(?!AWS/)[0-9A-Za-z._/#-][0-9A-Za-z._/#:-]{0,239}")
# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CreateTable.html
TABLE_NAME: Final = re.compile(r"|[0-9A-Za-z._-]{3,255}")
ACCOUNT_GLOB: Final = re.compile(r"[0-9*?\[\]!-]+")  # a glob of account ids
# Twelve bytes and three of overhead each stay below the 400 KB of an item in DynamoDB.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
MOST_METRICS: Final = 25_000
PREFIX: Final = "APITRACKER_"
MOST_PROCESSES: Final = 256  # all are started at once


class Settings(Struct, frozen=True, kw_only=True):
    """The settings, with their defaults."""

    max_log_bytes: int = 512 * 1024 * 1024  # CloudTrail cuts its objects at 50 MB of gzip
    """The longest log, when inflated; longer ones are named and not counted."""

    processes: int = 0
    """The number of processes that read logs, at most 256; 0 is one for each processor."""

    store: Path = Path("usage.duckdb")
    """The embedded store."""

    namespace: str = "API-COUNT"
    """The CloudWatch namespace of the metric set ``api``; the others are in it, at ``/Usage``."""

    metrics: str = "api"
    """The metric sets that are published, separated by commas or spaces."""

    ledger: str = ""
    """The DynamoDB table of published logs; without one, redelivered logs count again."""

    ledger_down: Literal["hold", "publish"] = "hold"
    """When the ledger cannot be reached: hold back until it can, or publish all the same."""

    budget: int = 5_000
    """The number of distinct metrics that each metric set may have in a month."""

    keep: str = ""
    """Metrics that are exempt from the budget: FIELD=GLOB, several separated by spaces."""

    own_role: str = ""
    """The ARN of the tracker's role: the calls that it makes to track are not counted."""

    own_function: str = ""
    """The ARN of the tracker's function: its invocations by CloudWatch Logs are not counted."""

    include: str = ""
    """Publish only calls that match: FIELD=GLOB, several separated by spaces."""

    exclude: str = ""
    """Do not publish calls that match: FIELD=GLOB, several separated by spaces."""

    recorded: str = ""
    """Globs of account ids. A call of these accounts counts once, however many accounts see it."""

    def __post_init__(self) -> None:
        """Raise `ValueError` if a value is out of its range."""
        if self.max_log_bytes < 1:
            raise ValueError("max_log_bytes must be at least 1")
        if not 0 <= self.processes <= MOST_PROCESSES:
            raise ValueError(f"processes must be at least 0 and at most {MOST_PROCESSES}")
        if not NAMESPACE.fullmatch(self.namespace):
            raise ValueError(
                "namespace must be 1 to 240 letters, digits and . - _ / # : of ASCII, "
                "and begin neither with AWS/ nor with a colon"
            )

        if not TABLE_NAME.fullmatch(self.ledger):
            raise ValueError(
                "ledger must be the name of a table, of 3 to 255 letters, digits, . - _"
            )
        if not all(ACCOUNT_GLOB.fullmatch(glob) for glob in self.recorded.split()):
            raise ValueError(
                "recorded must be account ids separated by spaces, where * stands for any digits"
            )
        if not 1 <= self.budget <= MOST_METRICS:
            raise ValueError(f"budget must be from 1 to {MOST_METRICS:,}")

    @property
    def workers(self) -> int:
        """The number of processes to read logs with, at least one."""
        if self.processes:
            return self.processes
        # The processors that this process may use; a container limits them. macOS cannot tell.
        usable = getattr(os, "sched_getaffinity", None)
        return len(usable(0)) if usable else os.cpu_count() or 1


DEFAULTS: Final = Settings()
"""The settings where nothing is set."""


def load(environ: Mapping[str, str]) -> tuple[Settings, list[str]]:
    """
    Return the settings in *environ*, and its names that are not settings.

    `SettingsError` names the variable with a bad value and the accepted values.
    """
    given = {
        name.removeprefix(PREFIX).lower(): value
        for name, value in environ.items()
        if name.startswith(PREFIX)
    }
    known = {field.name: field.type for field in msgspec.structs.fields(Settings)}
    values = {}
    for name in given.keys() & known.keys():
        try:
            values[name] = msgspec.convert(given[name], known[name], strict=False, dec_hook=_hook)
            Settings(**{name: values[name]})
        except (msgspec.ValidationError, ValueError) as e:
            ours = not isinstance(e, (msgspec.ValidationError, UnicodeError))
            fault = e if ours else _WANTED[known[name]]
            raise SettingsError(f"{PREFIX}{name.upper()}={given[name]}: {fault}") from e
    unknown = sorted(PREFIX + name.upper() for name in given.keys() - known.keys())
    return Settings(**values), unknown


_WANTED: Final[dict[object, str]] = {
    int: "must be a whole number",
    Literal["hold", "publish"]: "must be hold or publish",
    str: "must be in UTF-8",
}


def _hook(kind: type, value: str) -> object:
    if kind is Path:
        return Path(value)
    raise NotImplementedError(kind)
