"""The balance of records: each record of a log is in exactly one place."""

from collections import Counter
from collections.abc import Iterable
from typing import Final, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from apitracker.core.model import Rejected

NOTHING_SKIPPED: Final[Counter[str]] = Counter()


class Unread(Struct, frozen=True):
    """
    A log, by *name*, that could not be read whole, and its *fault*: nothing of it is counted.

    *lasting* says that reading it again fails again until the log changes.
    """

    name: str
    fault: str
    lasting: bool = False


class LeftOut(NamedTuple):
    """
    A folder of another service than CloudTrail. None of its files was read.

    *files* is their number, or -1 in S3, where they are not listed.
    """

    folder: str
    service: str
    files: int


class Balance(Struct, frozen=True):
    """
    Account for every record of *logs* logs: received = counted + duplicates + skipped + rejected.

    All of these are numbers of records, never of calls; *skipped* has one for each kind of record
    that is not a call. *not_selected* says how many of the counted are not part of the answer.
    *known* logs are, byte for byte, logs that were counted before: their records are not received
    again; *known_unread* logs could not be read before and have not changed. *rejections* names the
    log, place and reason of each rejected record, *unread* the logs that could not be read,
    *left_out* the folders that were not searched. *first* and *last* are the seconds of the first
    and the last call, selected or not, None where there is no call or the query has no seconds.
    """

    logs: int = 0
    known: int = 0
    known_unread: int = 0
    received: int = 0
    counted: int = 0
    duplicates: int = 0
    skipped: Counter[str] = NOTHING_SKIPPED
    rejected: int = 0
    not_selected: int = 0
    rejections: tuple[tuple[str, Rejected], ...] = ()
    unread: tuple[Unread, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    first: int | None = None
    last: int | None = None

    @property
    def placed(self) -> int:
        """The records that are accounted for."""
        return self.counted + self.duplicates + self.skipped.total() + self.rejected

    @property
    def holds(self) -> bool:
        """Whether every record is in exactly one place. It always should be."""
        return self.received == self.placed


def repeat_events(balance: Balance, repeated: int, *, not_selected: int = 0) -> Balance:
    """Return *balance* with *repeated* more of its counted records as duplicates of other logs'."""
    return replace(
        balance,
        counted=balance.counted - repeated,
        duplicates=balance.duplicates + repeated,
        not_selected=balance.not_selected - not_selected,
    )


def add_up(balances: Iterable[Balance]) -> Balance:
    """
    Return the balance of all *balances* together.

    This is where the law of the balance is checked, for all that counts logs: `AssertionError` if
    a record is in no place, or in two.
    """
    logs = known = known_unread = received = counted = duplicates = rejected = not_selected = 0
    skipped: Counter[str] = Counter()
    rejections: list[tuple[str, Rejected]] = []
    unread: list[Unread] = []
    left_out: list[LeftOut] = []
    ends: list[int] = []
    for each in balances:
        logs += each.logs
        known += each.known
        known_unread += each.known_unread
        received += each.received
        counted += each.counted
        duplicates += each.duplicates
        rejected += each.rejected
        not_selected += each.not_selected
        if each.skipped:
            skipped.update(each.skipped)
        rejections += each.rejections
        unread += each.unread
        left_out += each.left_out
        if each.first is not None and each.last is not None:
            ends += (each.first, each.last)
            ends = [min(ends), max(ends)]
    whole = Balance(
        logs=logs,
        known=known,
        known_unread=known_unread,
        received=received,
        counted=counted,
        duplicates=duplicates,
        skipped=skipped,
        rejected=rejected,
        not_selected=not_selected,
        rejections=tuple(rejections),
        unread=tuple(unread),
        left_out=tuple(left_out),
        first=min(ends, default=None),
        last=max(ends, default=None),
    )
    if not whole.holds:
        raise AssertionError(f"records are in more or fewer places than one: {whole}")
    return whole
