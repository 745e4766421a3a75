"""Commands about the web page: serve, report."""

from functools import partial
from pathlib import Path
from typing import IO

import click

from apitracker.cli.options import selection_options, store_option
from apitracker.cli.output import choose_format, describe_coverage, require_other_file, say
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
    help="Address to listen on. Anyone who can reach another address can read the whole store.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    help="Port to listen on; 0 picks a free one.  [default: 8765, or a free one if it is taken]",
)
@click.option("--open", "browse", is_flag=True, help="Open the page in a browser.")
@click.pass_obj
def serve_command(
    settings: Settings, *, path: Path | None, host: str, port: int | None, browse: bool
) -> None:
    """
    Show the store as a local web page.

    Calls over time, headline figures, the busiest APIs, callers, services, accounts and regions,
    throttled and denied calls, the balance of records. Nothing leaves this machine. Calls that
    apitracker ingest adds meanwhile show up within seconds. Ctrl-C stops it.

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
        say(f"{host}: anyone who can reach this host can read the whole store, without a password")
    if port is None and listening.getsockname()[1] != server.PORT:
        say(f"port {server.PORT} is taken: using a free one")
    say(f"{server.address(host, listening)} shows {path or settings.store}; Ctrl-C stops it")
    server.serve(path or settings.store, host, listening, browse=browse)


@click.command()
@selection_options
@store_option
@click.option(
    "-o",
    "--output",
    type=click.File("w", encoding="utf-8", lazy=True),
    required=True,
    help="Write the page to this file; - is standard output.",
)
@click.pass_obj
def report_command(  # noqa: PLR0913 - options of a command
    settings: Settings,
    *,
    since: int | None,
    until: int | None,
    where: tuple[str, ...],
    path: Path | None,
    output: IO[str],
) -> None:
    """
    Write the page of apitracker serve as one HTML file.

    The file loads nothing else: it opens without a network, and can be sent around. It contains the
    names of callers, accounts and APIs.

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
        raise UsageError(f"{output.name}: a report is HTML: name it accordingly, like usage.html")
    selection = parse_selection(since, until, where)
    store = Store(path or settings.store)
    require_other_file(output, store.path)
    times = [("since", since), ("until", until)]
    parameters = [(name, write("second", time)) for name, time in times if time is not None]
    parameters += [("where", text) for text in where]
    with store.reading(required=True) as db:  # a missing store is an error, not an empty page
        coverage = describe_coverage(db, store.path, selection, empty=False)
        answers = report.gather(partial(ask, OpenStore(store.path, db)), parameters)
    page = report.write_report(answers)
    output.write(page)  # only now: the file is emptied when it is opened
    if coverage:
        say(coverage)
