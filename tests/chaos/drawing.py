"""What a seed decides: what is delivered how often, and what goes wrong with it."""

import random
import threading
from collections.abc import Iterable, Iterator

from tests.chaos.asynchronous import Delivery
from tests.chaos.payloads import Payload
from tests.chaos.proxy import Kind, Plan

DOOMED = 0.2  # of deliveries, in which each attempt goes wrong, and most fail
FAULTY = 0.6  # of other attempts, in which something goes wrong
STEPS = {"claim": 4, "send": 6, "mark": 4, "GetItem": 1, "admit": 1, "give back": 1}
"""The steps of an attempt that go wrong, and how often beside each other."""
DEATHS = (
    ("claim", Kind.KILLED),
    ("claim", Kind.KILLED_DONE),
    ("send", Kind.KILLED_DONE),
    ("mark", Kind.KILLED),
)
"""How the first deliveries begin: before the claim and after, after the send, before the mark."""
HOPELESS = {
    "claim": (Kind.FAILED, Kind.THROTTLED, Kind.SILENT, Kind.KILLED, Kind.KILLED_DONE),
    "send": (Kind.FAILED, Kind.THROTTLED, Kind.RESET, Kind.SILENT, Kind.KILLED),
}
"""What lets nothing through if it goes wrong each time."""
DEADLY = {
    "claim": (*HOPELESS["claim"], Kind.SILENT_LATER),
    "send": tuple(Kind),
    "mark": (Kind.KILLED, Kind.KILLED_DONE),
}
"""What an attempt does not survive if it goes wrong each time."""
BREAKS = (Kind.RESET, Kind.RESET_DONE, Kind.KILLED, Kind.KILLED_DONE)
REFUSALS = (Kind.THROTTLED, Kind.FAILED, Kind.FAILED_DONE)
SILENCES = (Kind.SILENT, Kind.SILENT_DONE, Kind.SILENT_LATER)
SETBACKS = {
    "claim": (*REFUSALS, *BREAKS),
    "send": (*REFUSALS, *BREAKS),
    "mark": (*REFUSALS, *BREAKS),
    "DELETE": BREAKS,
}
"""What goes wrong with ``apitracker redrive``, which has more patience with silence than we."""


def dice(*seed: object) -> random.Random:
    """Give chance that is the same each time."""
    return random.Random("/".join(map(str, seed)))  # noqa: S311 - nothing is secret here


def deliver(seed: int, payloads: Iterable[Payload]) -> Iterator[tuple[Delivery, Payload]]:
    """
    Deliver each of *payloads* one to three times, shuffled: again later, or at the same moment.

    At the same moment, it may be Lambda that has it twice: then both have the same request id.
    """
    chance = dice(seed, "deliveries")
    groups: list[list[Payload]] = []
    for each in payloads:
        groups += [[each, each]] if chance.random() < 0.5 else [[each]]
        groups += [[each]] if chance.random() < 0.5 else []
    chance.shuffle(groups)
    number = 0
    for group in groups:
        gate = threading.Barrier(len(group)) if len(group) > 1 else None
        request = number if chance.random() < 0.5 else None
        for each in group:
            shared = number if request is None else request
            yield Delivery(number, each.event, shared, gate), each
            number += 1


def trouble(seed: int, delivery: int, attempt: int, *, hopeless: bool) -> Plan:
    """Draw what goes wrong in one attempt at a delivery, whatever else happens then."""
    if attempt == 1 and delivery < 2 * len(DEATHS):
        death = DEATHS[delivery % len(DEATHS)]
        return lambda step, number: death[1] if (step, number) == (death[0], 1) else None
    chance = dice(seed, delivery, attempt)
    if hopeless or dice(seed, delivery).random() < DOOMED:
        fatal = HOPELESS if hopeless else DEADLY
        deadly = chance.choice([*fatal])
        kind = chance.choice(fatal[deadly])
        first = 1 if hopeless else chance.choice((1, 2, 2))
        back = chance.choice((*[None] * 8, *BREAKS))
        return lambda step, number: (
            kind if step == deadly and number >= first else back if step == "give back" else None
        )
    wrong: dict[tuple[str, int], Kind] = {}
    if chance.random() < FAULTY:
        for _ in range(chance.choice((1, 1, 2, 3))):
            (step,) = chance.choices([*STEPS], [*STEPS.values()])
            first, times = chance.choice((1, 1, 2, 3)), chance.choice((1, 1, 1, 2, 30))
            kind = chance.choice([*Kind])
            wrong |= {(step, number): kind for number in range(first, first + times)}
    return lambda step, number: wrong.get((step, number))


def setback(seed: int, attempt: int) -> Plan:
    """Draw what goes wrong in one run of ``apitracker redrive``."""
    chance = dice(seed, "redrive", attempt)
    wrong: dict[tuple[str, int], Kind] = {}
    for _ in range(3):
        (step,) = chance.choices([*SETBACKS], (2, 4, 2, 1))
        wrong[step, chance.randint(1, 3)] = chance.choice(SETBACKS[step])
    return lambda step, number: wrong.get((step, number))
