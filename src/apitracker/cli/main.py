"""The command that has all others, and what becomes of its errors."""

import gc
import io
import os
import sys
from typing import Any, Final

import click
from click.shell_completion import get_completion_class

from apitracker.cli.counting import count, denials, ingest, sample, throttles, top
from apitracker.cli.output import FAILED, STOPPED, WRONG, say
from apitracker.cli.publishing import estimate, publish, reconcile, redrive
from apitracker.cli.showing import report, serve
from apitracker.cli.watching import alarm, dashboard, verify
from apitracker.errors import ApiTrackerError, ServeError, ServiceError, StoreError, WorkerError
from apitracker.settings import load


class _Commands(click.Group):
    """Commands in the order in which people need them; one whose reader goes away just ends."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # or click ends it with 1
            _let_go()

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(self.commands)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Each command has examples: apitracker count --help",
)
@click.version_option(package_name="apitracker", message="apitracker %(version)s")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """
    Which AWS APIs are called, how often, by whom, and which are throttled or denied.

    \b
    With no account and no settings:
      apitracker sample trail                  make a synthetic trail to play with
      apitracker count trail                   count the calls in log files
      export APITRACKER_STORE=sample.duckdb    give it a store of its own, not usage.duckdb
      apitracker ingest trail                  keep the counts in that store
      apitracker top                           the busiest APIs of all time
      apitracker throttles                     who is throttled, and who is behind it
      apitracker denials                       who is denied what
      apitracker estimate trail                what a tracker of it costs a month
    """
    settings, unknown = load(os.environ)
    for name in unknown:
        say(f"{name}: no such setting; it does nothing")
    ctx.obj = settings


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """
    Print the completion script of a shell.

    \b
    Examples:
      apitracker completion bash >> ~/.bashrc
      apitracker completion zsh >> ~/.zshrc
      apitracker completion fish > ~/.config/fish/completions/apitracker.fish
    """
    script = get_completion_class(shell)
    if script:
        click.echo(script(cli, {}, "apitracker", "_APITRACKER_COMPLETE").source())


COMMANDS: Final = (
    *(count, ingest, top, throttles, denials, serve, report),
    *(estimate, publish, reconcile, alarm, dashboard, verify, redrive),
    *(sample, completion),
)
for command in COMMANDS:
    cli.add_command(command)


def _let_go() -> None:
    """Write to nobody: Python would fail again when it flushes at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main() -> None:
    """Run the command line; every error of ours is one line on stderr and an exit code."""
    # What is decoded has no cycles, and the collector would look through all of it for some.
    gc.set_threshold(100_000, 50, 50)
    try:
        code = cli.main(standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as e:
        shown = io.StringIO()
        e.show(shown)
        for line in shown.getvalue().rstrip("\n").split("\n"):
            say(line)
        code = WRONG
    except (click.Abort, KeyboardInterrupt):
        say("stopped")
        code = STOPPED
    except (StoreError, ServeError, ServiceError, WorkerError) as e:
        say(f"apitracker: {e}")
        code = FAILED
    except ApiTrackerError as e:
        say(f"apitracker: {e}")
        code = WRONG
    except BrokenPipeError:  # as what was printed last is written
        _let_go()
        code = 0
    except OSError as e:
        say(f"apitracker: what was counted could not be written: {e}")
        _let_go()
        code = FAILED
    sys.exit(code)
