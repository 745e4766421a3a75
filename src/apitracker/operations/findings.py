"""Findings about a deployed tracker."""

from typing import Literal, TypeAlias

from msgspec import Struct

State: TypeAlias = Literal["ok", "waiting", "warning", "wrong"]


class Finding(Struct, frozen=True):
    """
    The result of one step: its state, and the fact or the remedy in words.

    *idle* says that nothing came through: another step may be the cause, or the time.
    """

    state: State
    text: str
    idle: bool = False


def ok(text: str) -> Finding:
    """Return the finding that all is well."""
    return Finding("ok", text)


def wrong(text: str, *, idle: bool = False) -> Finding:
    """Return the finding that something is wrong."""
    return Finding("wrong", text, idle)
