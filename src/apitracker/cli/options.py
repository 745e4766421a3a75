"""What options and arguments of several commands mean."""

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
BY: Final = ("eventSource", "eventName")


class Fields(click.ParamType["tuple[str, ...]"]):
    """``eventSource,eventName``: fields from the closed list."""

    name = "FIELD,…"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Read fields; wrong usage names the one that is none."""
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
    """A point in time, or an age."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read a time, as seconds since 1970."""
        try:
            return value if isinstance(value, int) else parse(value, now=datetime.now(UTC))
        except UsageError as e:
            self.fail(str(e), param, ctx)


format_option = click.option(
    "--format",
    "form",
    type=click.Choice(tables.FORMATS),
    help="How to write the rows.  [default: by the ending of -o, .csv or .json, else table]",
)
metrics_option = click.option(
    "--metrics",
    metavar="SET,…",
    multiple=True,
    callback=lambda _ctx, _param, value: ",".join(value) if value else None,
    help="The metric sets: api, service, account, outcomes, callers, throttled-callers.  [default:"
    " api, or APITRACKER_METRICS]",
)
store_option = click.option(
    "--store",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The embedded store.  [default: usage.duckdb, or APITRACKER_STORE]",
)
stack_option = click.option(
    "--stack",
    default="cloudwatch-api-tracker",
    show_default=True,
    help="The name of the tracker's stack, or of its function if it has no stack.",
)
sources_argument = click.argument("source", nargs=-1, required=True)
sources_if_any = click.argument("source", nargs=-1)


def selecting(command: Command) -> Command:
    """Add the options that say which calls, by what, and in which form."""
    return click.option(
        "--by",
        type=Fields(),
        multiple=True,
        callback=lambda _ctx, _param, value: tuple(dict.fromkeys(chain.from_iterable(value))),
        default=[BY],
        help=f"Count by these fields, in this order.  [default: {','.join(BY)}]",
    )(filtering(command))


def filtering(command: Command) -> Command:
    """Add the options that say which calls, and in which form."""
    output = click.option(
        "-o",
        "--output",
        type=click.File("w", encoding="utf-8", lazy=True),
        default="-",
        help="Write to this file.",
    )
    return choosing(format_option(output(command)))


def choosing(command: Command) -> Command:
    """Add the options that say which calls."""
    for option in reversed(
        (
            click.option(
                "--since", type=Time(), help="From this eventTime on: 2026-10-01T12:30Z, 2h, 7d."
            ),
            click.option("--until", type=Time(), help="Before this eventTime."),
            click.option(
                "--where",
                "where",
                multiple=True,
                metavar="FIELD=GLOB",
                help="Only calls whose FIELD matches: eventName=Describe*, errorCode=?*. Several"
                " globs of one field are alternatives; several fields must all match.",
            ),
        )
    ):
        command = option(command)
    return command
