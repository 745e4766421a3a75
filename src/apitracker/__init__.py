"""
Counts of AWS API calls from CloudTrail.

>>> log = b'{"Records":[{"eventTime":"2026-10-01T12:00:00Z","eventName":"GetUser"}]}'
>>> counts, balance = count(log, by=["hour", "eventName"])
>>> counts.rows
{(1790856000, 'GetUser'): 1}
"""

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
from apitracker.jobs.count import count

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
    "SettingsError",
    "SourceError",
    "StoreError",
    "Unread",
    "UsageError",
    "WorkerError",
    "count",
]
