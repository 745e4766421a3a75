"""
Every error that is ours, as one tree:

    ApiTrackerError
    ├── LogError       a log that cannot be read whole, and so is not counted at all
    │   └── RepeatedError         an object has several lists of records (core.documents)
    ├── SourceError    a source that is missing or cannot be read
    ├── UsageError     a question that cannot be asked: an unknown field, a bad time
    ├── SettingsError  a setting with a bad value
    ├── WorkerError    a process that reads logs was killed
    ├── StoreError     the store cannot be opened, read or written
    ├── ServeError     the page cannot be served here
    └── ServiceError   AWS refused or could not be reached
        ├── RefusedError          an API answered with an error (aws)
        ├── NotDeployedError      there is no tracker of this name (operations.deployment)
        ├── TransportError        no whole answer came (tracker.signing)
        ├── HeldError             another execution publishes the same log (tracker.ledger)
        ├── UnpublishedError      not all pages could be published (tracker.put_metric_data)
        └── InterruptedRunError   not all could be published; how to go on (jobs.publish)

A message names the thing, the fault and the way on.
"""


class ApiTrackerError(Exception):
    """The base of every error that apitracker raises on purpose."""


class LogError(ApiTrackerError):
    """
    A log that cannot be read whole. Nothing of it is counted.

    *name* is where it was found, *fault* what is wrong with it. *lasting* says that it cannot be
    read until the log itself changes, whatever the settings are.
    """

    def __init__(self, name: str, fault: str, *, lasting: bool = True) -> None:
        super().__init__(name, fault)
        self.name = name
        self.fault = fault
        self.lasting = lasting

    def __str__(self) -> str:
        return f"{self.name}: {self.fault}"


class SourceError(ApiTrackerError):
    """A source that is missing or cannot be read."""


class UsageError(ApiTrackerError):
    """A question that cannot be asked: an unknown field, a bad time, a bad glob."""


class SettingsError(ApiTrackerError):
    """A setting with a bad value; the message names it and the accepted values."""


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
