"""The command that writes a synthetic trail: sample."""

from datetime import UTC, datetime
from pathlib import Path

import click

from apitracker.cli.options import Time
from apitracker.cli.output import say
from apitracker.core.times import write as write_time
from apitracker.errors import UsageError


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), metavar="DIR")
@click.option("--events", default=20_000, show_default=True, help="Number of calls.")
@click.option("--days", default=3, show_default=True, help="Number of days.")
@click.option("--seed", default=1, show_default=True, help="Another seed gives another trail.")
@click.option("--broken", default=0, show_default=True, help="Number of malformed records.")
@click.option("--until", type=Time(), help="End of the trail.  [default: now]")
def sample_command(  # noqa: PLR0913 - options of a command
    *, folder: Path, events: int, days: int, seed: int, broken: int, until: int | None
) -> None:
    """
    Write a synthetic trail that looks real.

    The files are laid out as CloudTrail lays them out in S3.

    The trail has several accounts and regions, days and nights, a throttling incident with a
    culprit, a burst of denials, sign-ins and duplicates. All of it is invented. It ends now, so
    that --since 24h finds calls in it; the same --seed and --until give the same bytes. From 800
    calls on, the incident is large enough to use up the quota.

    \b
    Examples:
      apitracker sample trail
      apitracker sample trail --until 2026-10-31
      apitracker sample trail --events 1000000 --days 30 --broken 5
    """
    from apitracker.synthetic.trail import write_trail

    if folder.is_dir() and any(folder.iterdir()):
        raise UsageError(f"{folder}: is not empty: name a new folder for the trail")
    end = datetime.now(UTC) if until is None else datetime.fromtimestamp(until, UTC)
    written = write_trail(folder, events=events, days=days, seed=seed, broken=broken, until=end)
    start = int(written.incident.start.timestamp())
    say(
        f"{folder}: wrote {written.logs - written.insight_logs:,} logs;"
        f" {written.records - written.skipped:,} records: {written.calls:,} calls,"
        f" {written.duplicates:,} duplicates, {written.rejected:,} malformed"
    )
    say(
        f"not counted when the folder is read: {written.skipped:,} insight records in"
        f" {written.insight_logs:,} logs, {written.digests:,} digests"
    )
    say(f"the throttling incident begins at {write_time('minute', start)}")
