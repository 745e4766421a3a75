"""The command ``apitracker``: its subcommands, and an exit code for each kind of error."""

import gc
import io
import os
import sys
from collections import Counter
from typing import Any, Final

import click
from click.shell_completion import get_completion_class

from apitracker.cli.counts import count_command, ingest_command, top_command
from apitracker.cli.deployed import alarm, dashboard, redrive, verify
from apitracker.cli.incidents import denials_command, throttles_command
from apitracker.cli.output import FAILED, STOPPED, WRONG, say
from apitracker.cli.page import report_command, serve_command
from apitracker.cli.publishing import estimate, publish, reconcile
from apitracker.cli.sample import sample_command
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
    """Commands in the order in which people need them; a closed pipe ends one without an error."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # click would exit with 1
            _discard_output()

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, and check its arguments."""
        name, command, rest = super().resolve_command(ctx, args)
        if command and not ctx.resilient_parsing:
            _check_arguments(command, click.Context(command, ctx, name), rest)
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
    Count AWS API calls: which, how often, by whom, and which are throttled or denied.

    \b
    With no account and no settings:
      apitracker sample trail                  make a synthetic trail to play with
      apitracker count trail                   count the calls in log files
      export APITRACKER_STORE=sample.duckdb    use another store than usage.duckdb for it
      apitracker ingest trail                  keep the counts in that store
      apitracker top                           the busiest APIs of all time
      apitracker throttles                     who is throttled, and who is behind it
      apitracker denials                       who is denied which calls
      apitracker estimate trail                the monthly cost of a tracker for it
    """
    settings, unknown = load(os.environ)
    _require_rules(settings)
    for name in unknown:
        say(f"{name}: no such setting; it does nothing")
    ctx.obj = settings


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion_command(shell: str) -> None:
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
    *(count_command, ingest_command, top_command, throttles_command, denials_command),
    *(serve_command, report_command),
    *(estimate, publish, reconcile, alarm, dashboard, verify, redrive),
    *(sample_command, completion_command),
)
for command in COMMANDS:
    cli.add_command(command)


def _check_arguments(command: click.Command, ctx: click.Context, args: list[str]) -> None:
    """
    Raise `click.UsageError` for a repeated option that takes one value, or text that is not UTF-8.

    Names of files may be any bytes.
    """
    ctx.resilient_parsing = True  # the command itself reports all other errors
    values, _, given = command.make_parser(ctx).parse_args(list(args))
    for param in given:
        value = values[param.name or ""]
        for text in value if isinstance(value, list) else [value]:
            if param.type is click.STRING and isinstance(text, str) and not is_utf_8(text):
                raise click.UsageError(f"{text}: not in UTF-8: write it in UTF-8", ctx)
    for param, times in Counter(given).items():
        single = isinstance(param, click.Option) and not (param.multiple or param.is_flag)
        if single and times > 1:
            raise click.UsageError(f"{param.opts[-1]} is given {times} times: give it once", ctx)


def _require_rules(settings: Settings) -> None:
    """Raise `SettingsError` if a rule in *settings* is invalid or can match nothing."""
    for name in ("include", "exclude", "keep"):
        try:
            require_possible(parse_where(getattr(settings, name).split()))
        except UsageError as e:
            raise SettingsError(f"{PREFIX}{name.upper()}: {e}") from e


def _discard_output() -> None:
    """Redirect stdout to the null device: the flush at exit would fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main() -> None:
    """Run the command line; every error of ours is one line on stderr and an exit code."""
    # Decoded records have no cycles, and the collector would search all of them.
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
    except BrokenPipeError:  # from the last flush
        _discard_output()
        code = 0
    except OSError as e:
        say(f"apitracker: the output could not be written: {e}")
        _discard_output()
        code = FAILED
    sys.exit(code)
