"""What the docs show is what happens."""

import doctest
import os
import re
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest

from apitracker.cli.main import cli
from apitracker.core.fields import FIELDS
from apitracker.settings import PREFIX, Settings

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(
    r"(<!-- needs an account -->\n)?^```console\n(.*?)^```$", re.DOTALL | re.MULTILINE
)


QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
INLINE = re.compile(r"`([^`\n]+)`")
TEMPLATE = (ROOT / "sam.yaml").read_text("utf-8")
PARAMETERS = dict(
    re.findall(
        r"(?ms)^  (\w+):\n    Type: (?:String|Number)\n(.*?)(?=^  \w|^\w)",
        TEMPLATE.partition("\nParameters:\n")[2].partition("\nMappings:\n")[0] + "\nEnd",
    )
)
"""The template's parameters, with what is said of each."""


def _blocks(document: Path) -> list[str]:
    """The console blocks that can be run here."""
    return [block for account, block in BLOCK.findall(document.read_text("utf-8")) if not account]


def _steps(block: str) -> list[tuple[str, str]]:
    """The commands of a block, and what each is said to print."""
    steps = re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
    return [(step.partition("\n")[0], step.partition("\n")[2]) for step in steps]


@pytest.mark.parametrize(
    "document", [d for d in DOCUMENTS if _blocks(d)], ids=lambda d: str(d.relative_to(ROOT))
)
def test_console_blocks_print_what_they_show(document: Path, tmp_path: Path) -> None:
    """In an empty folder each command of a document prints what it shows; ``...`` is any lines."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environ = {k: v for k, v in os.environ.items() if not k.startswith((PREFIX, "AWS_"))}
    for command, expected in [step for block in _blocks(document) for step in _steps(block)]:
        done = subprocess.run(
            ["bash", "-c", command],  # noqa: S607 - the shell that the docs are written for
            cwd=tmp_path,
            env=environ | {"PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        pattern = re.escape(expected).replace(re.escape("...\n"), "(?:.*\n)*?")

        assert re.fullmatch(pattern, done.stdout), f"$ {command}\n{done.stdout}"


def test_the_library_does_what_the_docs_show(tmp_path: Path) -> None:
    """The example of docs/start.md prints what it shows, and its numbers are the command's."""
    text = (ROOT / "docs" / "start.md").read_text("utf-8")
    [(script, shown)] = re.findall(r"```python\n(.*?)```.*?```text\n(.*?)```", text, re.DOTALL)
    apitracker = Path(sys.executable).with_name("apitracker")
    command = "count trail --by eventSource --where outcome=denied --since 2026-10-29 --format csv"

    def run(*args: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(args, cwd=tmp_path, capture_output=True, text=True, check=True)

    run(apitracker, "sample", "trail", "--until", "2026-10-31")
    printed = run(sys.executable, "-c", script).stdout
    counted = run(apitracker, *command.split())

    assert printed == shown
    rows = [line.split() for line in shown.splitlines()[:-1]]
    assert [f"{source},{calls}" for calls, source in rows] == counted.stdout.splitlines()[1:]
    assert "14,175 records: 14,038 counted (13,822 not selected), 137 dupl" in counted.stderr
    assert shown.endswith("\n14175 records: 14038 counted, 137 duplicates\n")


@pytest.mark.parametrize("name", ["apitracker", "apitracker.jobs.count", "apitracker.core.cutting"])
def test_docstrings_show_what_happens(name: str) -> None:
    """The examples in docstrings give what they show."""
    failed, tried = doctest.testmod(import_module(name))

    assert (failed, tried > 0) == (0, True)


def _typed() -> list[tuple[str, str]]:
    """What a reader may type: in all console blocks, and in the examples of every help."""
    shown = [
        (document.name, command)
        for document in DOCUMENTS
        for _, block in BLOCK.findall(document.read_text("utf-8"))
        for command, _ in _steps(block)
    ]
    helped = [
        (f"--help of {name}", line.strip())
        for name, command in cli.commands.items()
        for line in (command.help or "").splitlines()
        if re.match(r"\s*(APITRACKER_\S+ )?apitracker ", line)
    ]
    return shown + helped


def test_globs_are_quoted() -> None:
    """No command in the docs or in a help has a glob that a shell, as zsh, would look for."""
    inline = [
        (document.name, text)
        for document in DOCUMENTS
        for text in INLINE.findall(document.read_text("utf-8"))
        if re.search(r"apitracker \w+ .*--where", text) and "FIELD=GLOB" not in text
    ]

    assert [
        (where, command)
        for where, command in _typed() + inline
        if re.search(r"\w=\S*[*?\[]", QUOTED.sub("", command))
    ] == []


def test_commands_that_are_typed_exist() -> None:
    """Each `apitracker` line of a console block is a command, with options that it takes."""
    wrong = []
    for where, line in _typed():
        command, *_ = re.split(r" \| | && | 2?>+ |; ", line.replace("$BEGAN", "2h"))
        if not command.startswith("apitracker "):
            continue
        name, *args = shlex.split(command.partition("  ")[0])[1:]
        try:
            cli.commands[name].make_context(name, args)
        except (KeyError, click.ClickException) as e:
            wrong.append((where, command, str(e)))

    assert wrong == []


def _given() -> list[tuple[str, str, str]]:
    """The parameters that documents deploy with: where, name and value."""
    found = []
    for document in DOCUMENTS:
        text = document.read_text("utf-8")
        for line in re.findall(r"--parameter-overrides ([^`\n]+)", text):
            words = shlex.split(line)
            found += [(document.name, *word.split("=", 1)) for word in words if "=" in word]
    return [(where, name, value) for where, name, value in found]


def test_parameters_that_are_given_exist() -> None:
    """Each parameter that a document deploys with is the template's, and takes that value."""
    wrong = [
        (where, name, value)
        for where, name, value in _given()
        if name not in PARAMETERS
        or not re.fullmatch(
            (re.search(r'AllowedPattern: "(.*)"', PARAMETERS[name]) or [".*", ".*"])[1].replace(
                r"\\", "\\"
            ),
            value,
        )
    ]

    assert len(_given()) > 5
    assert wrong == []


def test_every_parameter_is_explained() -> None:
    """docs/deploy.md lists each parameter of the template, and no other."""
    text = (ROOT / "docs" / "deploy.md").read_text("utf-8")
    listed = text.partition("\n## Parameters\n")[2].partition("\n## ")[0]
    rows = [row.split("|")[1] for row in listed.splitlines() if row.startswith("| `")]

    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == PARAMETERS.keys()


def test_the_readme_deploys_what_its_alarms_need() -> None:
    """README tells somebody of alarms, and publishes the set that its alarm on throttles reads."""
    text = (ROOT / "README.md").read_text("utf-8")
    (block,) = [block for _, block in BLOCK.findall(text) if "cloudformation deploy" in block]
    given = {name: value for where, name, value in _given() if where == "README.md"}
    alarms = re.findall(r"^\$ (apitracker alarm .*)$", block, re.MULTILINE)

    assert given["AlarmEmail"] == "you@example.com"
    assert any("--outcome" in alarm for alarm in alarms)
    assert "outcomes" in given["MetricSets"].split(",")
    assert all('--notify "$TOPIC"' in alarm for alarm in alarms)
    assert block.index("$ TOPIC=$(aws cloudformation") < block.index("$ apitracker alarm")


def test_nothing_that_is_typed_expires() -> None:
    """A command that needs an account has no date in it: CloudWatch takes the last two weeks."""
    dated = [
        command
        for document in DOCUMENTS
        for account, block in BLOCK.findall(document.read_text("utf-8"))
        if account
        for command, _ in _steps(block)
        if re.search(r"20\d\d-\d\d", command)
    ]

    assert dated == []


def test_every_command_is_in_the_manual() -> None:
    """docs/cli.md has a section for each command, with its name and every option."""
    manual = (ROOT / "docs" / "cli.md").read_text("utf-8")
    sections = re.findall(r"^## apitracker (\S+)$", manual, re.MULTILINE)

    assert sections == list(cli.commands)


def test_every_option_is_in_the_manual() -> None:
    """Each long option of a command stands in the command's section of docs/cli.md."""
    manual = (ROOT / "docs" / "cli.md").read_text("utf-8")
    sections = dict(
        zip(
            cli.commands,
            re.split(r"^## apitracker .*$", manual, flags=re.MULTILINE)[1:],
            strict=True,
        )
    )
    missing = [
        f"{name} {option}"
        for name, command in cli.commands.items()
        for parameter in command.params
        for option in parameter.opts
        if option.startswith("--") and option not in sections[name] and parameter.name != "output"
    ]

    assert missing == []


def test_every_field_is_explained() -> None:
    """docs/start.md lists every field that calls can be counted by."""
    text = (ROOT / "docs" / "start.md").read_text("utf-8")

    assert [field for field in FIELDS if f"`{field}`" not in text] == []


def test_every_setting_is_listed() -> None:
    """docs/settings.md has a row for each setting, with its default."""
    text = (ROOT / "docs" / "settings.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `APITRACKER_(\w+)` \| *`?([^`|]*?)`? *\|", text, re.MULTILINE))
    defaults = {name: str(getattr(Settings(), name)) for name in Settings.__struct_fields__}

    assert {name.lower(): value for name, value in rows.items()} == defaults


def test_links_lead_somewhere() -> None:
    """No relative link in a document is dead."""
    dead = [
        f"{document.relative_to(ROOT)}: {link}"
        for document in DOCUMENTS
        for link in re.findall(r"\]\(([^)#:]+)\)", document.read_text("utf-8"))
        if not (document.parent / link).exists()
    ]

    assert dead == []
