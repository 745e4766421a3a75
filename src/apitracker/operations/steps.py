"""Results of the steps in which a deployed tracker is verified."""

from typing import Literal, TypeAlias

from msgspec import Struct

State: TypeAlias = Literal["ok", "waiting", "warning", "wrong"]


class StepResult(Struct, frozen=True):
    """
    The result of a step: its state, and the fact or the remedy in words.

    *idle* says that nothing came through: another step may be the cause, or the time.
    """

    state: State
    text: str
    idle: bool = False


def found_ok(text: str) -> StepResult:
    """Return the result that all is well."""
    return StepResult("ok", text)


def found_wrong(text: str, *, idle: bool = False) -> StepResult:
    """Return the result that something is wrong."""
    return StepResult("wrong", text, idle)
