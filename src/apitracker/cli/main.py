"""The command that has all others, and what becomes of its errors."""

import gc
import io
import os
import sys
from collections import Counter
from typing import Any, Final

import click
from click.shell_completion import get_completion_class

from apitracker.cli.counting import count, denials, ingest, sample, throttles, top
from apitracker.cli.deployed import alarm, dashboard, redrive, verify
from apitracker.cli.output import FAILED, STOPPED, WRONG, say
from apitracker.cli.publishing import estimate, publish, reconcile
from apitracker.cli.showing import report, serve
from apitracker.core.selection import is_utf_8, parse_where, require_possible
from apitracker.errors import (
    ApiTrackerError,
    ServeError,
    ServiceError,
    SettingsError,
    StoreError,
    UsageError,
    WorkerError,
)
from apitracker.settings import PREFIX, Settings, load


class _Commands(click.Group):
    """Commands in the order in which people need them; one whose reader goes away just ends."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # or click ends it with 1
            _let_go()

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, and check what it is given."""
        name, command, rest = super().resolve_command(ctx, args)
        if command and not ctx.resilient_parsing:
            _check_given(command, click.Context(command, ctx, name), rest)
        return name, command, rest

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
      apitracker estimate trail                the monthly cost of a tracker of it
    """
    settings, unknown = load(os.environ)
    _require_rules(settings)
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


def _check_given(command: click.Command, ctx: click.Context, args: list[str]) -> None:
    """
    `click.UsageError` if the last value of an option would be taken, or a text is not UTF-8.

    The names of files may be any bytes.
    """
    ctx.resilient_parsing = True  # what else is wrong the command says itself
    values, _, given = command.make_parser(ctx).parse_args(list(args))
    for param in given:
        named = values[param.name or ""]
        for text in named if isinstance(named, list) else [named]:
            if param.type is click.STRING and isinstance(text, str) and not is_utf_8(text):
                raise click.UsageError(f"{text}: not in UTF-8: write it in UTF-8", ctx)
    for param, times in Counter(given).items():
        single = isinstance(param, click.Option) and not (param.multiple or param.is_flag)
        if single and times > 1:
            raise click.UsageError(f"{param.opts[-1]} is given {times} times: give it once", ctx)


def _require_rules(settings: Settings) -> None:
    """`SettingsError` if a rule of *settings* is none, or can match nothing."""
    for name in ("include", "exclude", "keep"):
        try:
            require_possible(parse_where(getattr(settings, name).split()))
        except UsageError as e:
            raise SettingsError(f"{PREFIX}{name.upper()}: {e}") from e


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
