"""
Counts of AWS API calls from CloudTrail.

>>> from apitracker import count
>>> log = b'{"Records":[{"eventTime":"2026-10-01T12:00:00Z","eventName":"GetUser"}]}'
>>> counts, balance = count(log, by=["hour", "eventName"])
>>> counts.rows
{(1790856000, 'GetUser'): 1}
"""

from importlib import import_module
from typing import TYPE_CHECKING

from apitracker.core.balance import Balance, Unread
from apitracker.core.counting import Counted
from apitracker.core.counts import Counts
from apitracker.core.model import Log, Rejected
from apitracker.errors import (
    ApiTrackerError,
    LogError,
    ServeError,
    ServiceError,
    SettingsError,
    SourceError,
    StoreError,
    UsageError,
    WorkerError,
)
from apitracker.settings import Settings

if TYPE_CHECKING:
    from apitracker.jobs.count import count
else:

    def __getattr__(name: str) -> object:
        """Load `count` at its first use. The Lambda loads this module too, and never uses it."""
        if name == "count":
            return import_module("apitracker.jobs.count").count
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "ApiTrackerError",
    "Balance",
    "Counted",
    "Counts",
    "Log",
    "LogError",
    "Rejected",
    "ServeError",
    "ServiceError",
    "Settings",
    "SettingsError",
    "SourceError",
    "StoreError",
    "Unread",
    "UsageError",
    "WorkerError",
    "count",
]
