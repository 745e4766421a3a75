"""One campaign from the first delivery to the last redrive, on a local AWS of its own."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.chaos.audit import Audit, audit
from tests.chaos.campaign import Campaign, Doubts, clients, deploy, redrive, run
from tests.emulator import emulator

SETTINGS: Sequence[Mapping[str, str]] = (
    {"METRICS": "api service"},
    {"BUDGET": "250"},
    {"LEDGER_DOWN": "publish"},
)
"""Of the function: the seeds take turns."""


class Trial(NamedTuple):
    """A campaign, and what was found when Lambda had given up and when all was redriven."""

    campaign: Campaign
    before: Audit
    after: Audit
    doubts: Doubts
    redrives: int
    seconds: float

    @property
    def wrong(self) -> list[str]:
        """All that is wrong."""
        return [*self.before.wrong, *(f"redriven: {each}" for each in self.after.wrong)]

    @property
    def injected(self) -> Counter[tuple[str, str]]:
        """What went wrong with which step, and how often."""
        requests = self.campaign.journal.requests
        return Counter((each.step, each.kind) for each in requests if each.kind)


def settings(seed: int) -> Mapping[str, str]:
    """Give the settings of the function in the campaign of *seed*."""
    return SETTINGS[seed % len(SETTINGS)]


def attempt(seed: int, folder: Path, *, faults: bool = True, **changed: str) -> Trial:
    """Run the campaign of *seed*, with *changed* settings; the AWS keeps its files in *folder*."""
    begun = time.monotonic()
    with emulator(folder) as aws:
        client = clients(aws)
        stack = deploy(client, f"seed-{seed}", {**settings(seed), **changed})
        campaign = run(seed, aws, stack, faults=faults)
        before = audit(campaign, client, campaign.doubts, redriven=False)
        redrives, told = redrive(campaign, aws) if campaign.kept else (0, set())
        doubts = campaign.doubts | told
        after = audit(campaign, client, doubts, redriven=True) if campaign.kept else before
    return Trial(campaign, before, after, doubts, redrives, time.monotonic() - begun)
