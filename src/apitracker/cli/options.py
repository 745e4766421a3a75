"""Options and arguments that several commands have."""

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any, Final

import click

from apitracker.core import tables
from apitracker.core.fields import FIELDS, parse_fields, require_fields
from apitracker.core.times import parse
from apitracker.errors import UsageError

Command = Callable[..., None]
DEFAULT_FIELDS: Final = ("eventSource", "eventName")


class Fields(click.ParamType["tuple[str, ...]"]):
    """Fields from the closed list, like ``eventSource,eventName``."""

    name = "FIELD,…"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Parse fields separated by commas; an unknown one is wrong usage, and named."""
        if isinstance(value, tuple):
            return value
        fields = parse_fields(value)
        if not fields:
            self.fail(f"name a field; choose from {', '.join(FIELDS)}", param, ctx)
        try:
            require_fields(fields)
        except UsageError as e:
            self.fail(str(e), param, ctx)
        return fields

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[click.shell_completion.CompletionItem]:
        """Complete the last field."""
        del ctx, param
        head, comma, last = incomplete.rpartition(",")
        return [
            click.shell_completion.CompletionItem(head + comma + field)
            for field in FIELDS
            if field.startswith(last)
        ]


class Time(click.ParamType[int]):
    """A point in time, or an age like ``2h``."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parse a time into seconds since 1970."""
        try:
            return value if isinstance(value, int) else parse(value, now=datetime.now(UTC))
        except UsageError as e:
            self.fail(str(e), param, ctx)


format_option = click.option(
    "--format",
    "form",
    type=click.Choice(tables.FORMATS),
    help="Format of the rows.  [default: by the ending of -o, .csv or .json, else table]",
)
metrics_option = click.option(
    "--metrics",
    metavar="SET,…",
    multiple=True,
    callback=lambda _ctx, _param, value: ",".join(value) if value else None,
    help="Metric sets: api, service, account, outcomes, callers, throttled-callers.  [default: api,"
    " or APITRACKER_METRICS]",
)
store_option = click.option(
    "--store",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File of the embedded store.  [default: usage.duckdb, or APITRACKER_STORE]",
)
stack_option = click.option(
    "--stack",
    default="cloudwatch-api-tracker",
    show_default=True,
    help="Name of the tracker's stack, or of its function if it has no stack.",
)
sources_argument = click.argument("source", nargs=-1, required=True)
optional_sources = click.argument("source", nargs=-1)
by_option = click.option(
    "--by",
    type=Fields(),
    multiple=True,
    callback=lambda _ctx, _param, value: tuple(dict.fromkeys(chain.from_iterable(value))),
    default=[DEFAULT_FIELDS],
    help=f"Count by these fields, in this order.  [default: {','.join(DEFAULT_FIELDS)}]",
)


def selection_options(command: Command) -> Command:
    """Add the options that select calls: --since, --until, --where."""
    since = click.option(
        "--since", type=Time(), help="From this eventTime on: 2026-10-01T12:30Z, 2h, 7d."
    )
    until = click.option("--until", type=Time(), help="Before this eventTime.")
    where = click.option(
        "--where",
        multiple=True,
        metavar="FIELD=GLOB",
        help="Only calls whose FIELD matches: eventName=Describe*, errorCode=?*. Several globs of"
        " one field are alternatives; several fields must all match.",
    )
    return since(until(where(command)))


def output_options(command: Command) -> Command:
    """Add the options for the format of the rows and for their file: --format, --output."""
    output = click.option(
        "-o",
        "--output",
        type=click.File("w", encoding="utf-8", lazy=True),
        default="-",
        help="Write the rows to this file.",
    )
    return format_option(output(command))
