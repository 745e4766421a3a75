"""
Counts of AWS API calls from CloudTrail.

What flows stands here; where it comes from and goes to is imported by module, as in
``from apitracker.local import sources, store``.

>>> log = Log.of("-", b'{"Records":[{"eventTime":"2026-10-01T12:00:00Z","eventName":"GetUser"}]}')
>>> rollup(count(decode(log).calls), ["hour", "eventName"])
Counter({(1790856000, 'GetUser'): 1})
"""

from apitracker.core.model import Call, Decoded, Key, Log, Rejected, Tally
from apitracker.core.records import decode
from apitracker.core.tally import count, rollup
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

__all__ = [
    "ApiTrackerError",
    "Call",
    "Decoded",
    "Key",
    "Log",
    "LogError",
    "Rejected",
    "ServeError",
    "ServiceError",
    "SettingsError",
    "SourceError",
    "StoreError",
    "Tally",
    "UsageError",
    "WorkerError",
    "count",
    "decode",
    "rollup",
]
