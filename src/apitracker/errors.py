"""
Every error that is ours, as one tree:

    ApiTrackerError
    ├── LogError       a log that cannot be read whole: nothing of it is counted
    │   └── RepeatedError         one object has several lists of records (core.documents)
    ├── SourceError    a source that is missing or cannot be read
    ├── UsageError     a query that cannot be answered: an unknown field, a bad time
    ├── SettingsError  a setting with a bad value
    ├── WorkerError    a process that reads logs was killed
    ├── StoreError     the store cannot be opened, read or written
    ├── ServeError     the page cannot be served here
    └── ServiceError   AWS refused or could not be reached
        ├── RefusedError          an API answered with an error (aws)
        ├── NotDeployedError      there is no tracker of this name (operations.deployment)
        ├── StorageError          S3 failed while logs were looked for or read (aws)
        ├── TransportError        no whole answer came (tracker.signing)
        ├── HeldError             another execution publishes the same log (tracker.ledger)
        ├── UnpublishedError      not all batches could be published (tracker.put_metric_data)
        └── InterruptedRunError   not all could be published; how to go on (jobs.publish)

A message names the thing, the fault and the remedy.
"""


class ApiTrackerError(Exception):
    """The base of every error that apitracker raises on purpose."""


class LogError(ApiTrackerError):
    """
    A log that cannot be read whole. Nothing of it is counted.

    *name* is the place where it was found. *lasting* says that it cannot be read until the log
    itself changes, whatever the settings are.
    """

    def __init__(self, name: str, fault: str, *, lasting: bool = True) -> None:
        super().__init__(name, fault)
        self.name = name
        self.fault = fault
        self.lasting = lasting

    def __str__(self) -> str:
        return f"{self.name}: {self.fault}"


class SourceError(ApiTrackerError):
    """A source, by *name*, that is missing or cannot be read, and its *fault*."""

    def __init__(self, name: str, fault: str) -> None:
        super().__init__(name, fault)
        self.name = name
        self.fault = fault

    def __str__(self) -> str:
        return f"{self.name}: {self.fault}" if self.name else self.fault


class UsageError(ApiTrackerError):
    """A query that cannot be answered: an unknown field, a bad time, a bad glob."""


class SettingsError(ApiTrackerError):
    """A setting with a bad value. The message names it and the accepted values."""


class WorkerError(ApiTrackerError):
    """A process that reads logs was killed."""


class StoreError(ApiTrackerError):
    """The store cannot be opened, read or written."""


class ServeError(ApiTrackerError):
    """The page cannot be served here: the host is not this machine's, or the port is taken."""


class ServiceError(ApiTrackerError):
    """
    AWS refused a request or could not be reached.

    *in_doubt* says that the request may have been processed all the same.
    """

    def __init__(self, message: str, *, in_doubt: bool = False) -> None:
        super().__init__(message)
        self.in_doubt = in_doubt
