"""Commands that show a store as a page: serve, report."""

from functools import partial
from pathlib import Path
from typing import IO

import click

from apitracker.cli.options import choosing, store_option
from apitracker.cli.output import choose_format, coverage, keep_apart, say
from apitracker.core.selection import parse_selection
from apitracker.core.times import write
from apitracker.errors import UsageError
from apitracker.settings import Settings


@click.command()
@store_option
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Where to listen. Whoever can reach any other host sees all of the store.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    help="Where to listen; 0 is a free port.  [default: 8765, or a free one where that is taken]",
)
@click.option("--open", "browse", is_flag=True, help="Open the page in a browser.")
@click.pass_obj
def serve(
    settings: Settings, *, path: Path | None, host: str, port: int | None, browse: bool
) -> None:
    """
    Show the store as a local web page.

    Calls over time, headline figures, the busiest APIs, callers, services, accounts and regions,
    who is throttled and denied, what became of every record. Nothing leaves this machine. What
    apitracker ingest adds beside it shows up within seconds. Ctrl-C stops it.

    \b
    Examples:
      apitracker serve --open
      apitracker serve --store prod.duckdb --port 9000
      ssh -L 8765:127.0.0.1:8765 HOST          then open http://127.0.0.1:8765 here

    Exit code 0: stopped; 2: wrong usage; 3: the port is taken.
    """
    from apitracker.page import server

    listening = server.listen(host, port)
    if not server.is_local(host):
        say(f"{host}: whoever can reach this host sees all of the store, without a password")
    if port is None and listening.getsockname()[1] != server.PORT:
        say(f"port {server.PORT} is taken; this is another")
    say(f"{server.address(host, listening)} shows {path or settings.store}; Ctrl-C stops it")
    server.serve(path or settings.store, host, listening, browse=browse)


@click.command()
@choosing
@store_option
@click.option(
    "-o",
    "--output",
    type=click.File("w", encoding="utf-8", lazy=True),
    required=True,
    help="Write to this file; - is standard output.",
)
@click.pass_obj
def report(  # noqa: PLR0913 - options of a command
    settings: Settings,
    *,
    since: int | None,
    until: int | None,
    where: tuple[str, ...],
    path: Path | None,
    output: IO[str],
) -> None:
    """
    Write what apitracker serve shows as one HTML file.

    The file has all in it, and loads nothing: it opens without a network, and can be sent around.
    Names of callers, accounts and APIs are in it.

    \b
    Examples:
      apitracker report -o usage.html
      apitracker report --since 7d -o week.html
      apitracker report --where recipientAccountId=111122223333 -o account.html

    Exit code 0: done; 2: wrong usage; 3: the store failed.
    """
    from apitracker.page import report
    from apitracker.page.views import OpenStore, ask
    from apitracker.store.database import Store

    if choose_format(None, output) != "table":
        raise UsageError(f"{output.name}: a report is HTML: name the file so, as in usage.html")
    selected = parse_selection(since, until, where)
    store = Store(path or settings.store)
    keep_apart(output, store.path)
    times = [("since", since), ("until", until)]
    selection = [(name, write("second", time)) for name, time in times if time is not None]
    selection += [("where", text) for text in where]
    with store.reading(required=True) as db:  # a store that is not there is not an empty one
        covered = coverage(db, store.path, selected, empty=False)
        answers = report.gather(partial(ask, OpenStore(store.path, db)), selection)
    page = report.write_report(answers)
    output.write(page)  # not before there is something: the file is emptied when it is opened
    if covered:
        say(covered)
