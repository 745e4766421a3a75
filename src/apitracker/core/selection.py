"""Selections of calls: a time from, a time until, and globs over fields."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import translate
from typing import Final, TypeAlias

from msgspec import Struct

from apitracker.core.fields import FIELDS, WIDTHS, Value
from apitracker.core.names import with_dated
from apitracker.core.outcomes import OUTCOMES
from apitracker.core.times import label, write
from apitracker.errors import UsageError

Globs: TypeAlias = Mapping[str, Sequence[str]]
"""Globs by field; one of a field's globs has to match the whole value."""

GLOB_LENGTH: Final = 2_048  # as long as an ARN can be; time and memory grow with its square

GLOB_TOKEN: Final = re.compile(r"\[!?\]?[^\]]*\]|.", re.DOTALL)  # as fnmatch divides a glob
KNOWN_VALUES: Final[dict[str, tuple[str, ...]]] = {
    "outcome": tuple(OUTCOMES),
    "readOnly": ("true", "false", ""),
}
"""The values of the fields that have a few known ones."""
EXAMPLES: Final = {field: write(field, 1_793_369_967) for field in WIDTHS}  # 2026-10-30T14:19:27Z


class Selection(Struct, frozen=True):
    """
    The calls from *since* to before *until*, in seconds since 1970 UTC, that match *where*.

    *where* maps a field to globs: a call matches if, for every field, one of them matches the
    whole value. ``*`` is any text, ``?`` any character, ``[ab]`` either; case matters.
    """

    since: int | None = None
    until: int | None = None
    where: dict[str, tuple[str, ...]] = {}

    @property
    def timed(self) -> bool:
        """Whether the selection depends on the time of a call, to the second."""
        bounded = self.since is not None or self.until is not None
        return bounded or any(field in WIDTHS for field in self.where)

    def is_within(self, first: int, last: int) -> bool:
        """Return whether all selected times are from *first* to *last*, both included."""
        if self.until is None:
            return self.since is None  # else the selection goes on until now
        return (self.since is None or first <= self.since) and self.until <= last + 1

    def is_outside(self, first: int, last: int) -> bool:
        """Return whether no selected time is from *first* to *last*, both included."""
        return (self.since is not None and last < self.since) or (
            self.until is not None and self.until <= first
        )

    def spans(self, second: int) -> bool:
        """Return whether *second* is at or after *since* and before *until*."""
        return (self.since is None or self.since <= second) and (
            self.until is None or second < self.until
        )

    @property
    def plain(self) -> tuple[str, ...]:
        """The other fields that the selection depends on."""
        return tuple(field for field in self.where if field not in WIDTHS)


ALL: Final = Selection()


def parse_selection(since: int | None, until: int | None, where: Iterable[str]) -> Selection:
    """
    Return the selection for times in seconds since 1970 and ``FIELD=GLOB`` texts.

    An API name selects its dated spellings too: a person asks here. A tracker's rules do not.
    `UsageError` if a text is malformed or can match nothing, or no time is left.
    """
    if since is not None and until is not None and until <= since:
        ends = write("second", until), write("second", since)
        raise UsageError("until: {} is not after {}".format(*ends))
    wanted = parse_where(where)
    require_possible(wanted)
    if names := wanted.get("eventName"):
        wanted["eventName"] = with_dated(names)
    return Selection(since, until, wanted)


def parse_where(texts: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the globs of ``FIELD=GLOB`` texts. `UsageError` if one is malformed."""
    where: dict[str, tuple[str, ...]] = {}
    for text in texts:
        field, equals, glob = text.partition("=")
        if not equals:
            raise UsageError(f"{text}: write FIELD=GLOB, as in eventSource=s3.*")
        if field.endswith("!"):
            raise UsageError(f"{text}: there is no !=: write what should match, as in errorCode=?*")
        if field not in FIELDS:
            raise UsageError(f"{field}: no such field; choose from {', '.join(FIELDS)}")
        if not is_utf_8(glob):
            raise UsageError(f"{text}: not in UTF-8: write the glob in UTF-8")
        if len(glob) > GLOB_LENGTH:
            raise UsageError(f"{field}: a glob has at most {GLOB_LENGTH:,} characters; use *")
        where[field] = (*where.get(field, ()), glob)
    return where


def is_utf_8(text: str) -> bool:
    """Return whether *text* of the command line was UTF-8. Python marks other bytes in it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def require_possible(where: Mapping[str, Iterable[str]]) -> None:
    """Raise `UsageError` if one of the globs can match no value of its field."""
    for field, globs in where.items():
        for glob in globs:
            if glob.startswith("!"):
                raise UsageError(
                    f"{field}={glob}: ! does not negate: write what should match; "
                    f"{field}=?{glob[1:]} for a value that begins so"
                )
            if field in KNOWN_VALUES and not any(map(matcher(field, [glob]), KNOWN_VALUES[field])):
                values = ", ".join(value or "nothing at all" for value in KNOWN_VALUES[field])
                raise UsageError(f"{field}={glob}: matches none of its values: {values}")
            if field in WIDTHS and not _may_be_time(field, glob):
                raise UsageError(
                    f"{field}={glob}: no {field} is written so; one is {field}={EXAMPLES[field]}, "
                    "with * for any text"
                )


def _may_be_time(field: str, glob: str) -> bool:
    """Return whether *glob* can match a time of *field*, as `write` writes it."""
    # A run over the characters of a time: states are the places in the glob that are reached.
    tokens = GLOB_TOKEN.findall(glob)
    matches = [re.compile(translate(token)).match for token in tokens]
    states = _after_stars({0}, tokens)
    for character in EXAMPLES[field]:
        choices = "0123456789" if character.isdigit() else character
        stay = {at for at in states if at < len(tokens) and tokens[at] == "*"}
        move = {
            at + 1 for at in states - stay if at < len(tokens) and any(map(matches[at], choices))
        }
        states = _after_stars(stay | move, tokens)
    return len(tokens) in states


def _after_stars(states: set[int], tokens: Sequence[str]) -> set[int]:
    """Add to *states* the places reached without a character: a star may match nothing."""
    found = set(states)
    for at in states:
        while at < len(tokens) and tokens[at] == "*":
            at += 1  # noqa: PLW2901 - a place further on
            found.add(at)
    return found


def matcher(field: str, globs: Sequence[str]) -> Callable[[Value], bool]:
    """Return a function that tests whether one of *globs* matches a value of *field*."""
    patterns = [re.compile(translate(glob)) for glob in globs]
    return lambda value: any(pattern.match(label(field, value)) for pattern in patterns)


def match_each(values: Sequence[Value], field: str, globs: Sequence[str]) -> Iterable[bool]:
    """Return for each value of *field* whether one of *globs* matches it."""
    matches = matcher(field, globs)
    known = {value: matches(value) for value in set(values)}
    return map(known.__getitem__, values)
