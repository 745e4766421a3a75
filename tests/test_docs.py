"""What the docs show is what happens."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from apitracker.cli.main import cli
from apitracker.core.tally import FIELDS
from apitracker.local import sample
from apitracker.settings import PREFIX, Settings

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(
    r"(<!-- needs an account -->\n)?^```console\n(.*?)^```$", re.DOTALL | re.MULTILINE
)


@pytest.fixture(scope="module")
def trail(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trail that the documents speak of."""
    folder = tmp_path_factory.mktemp("docs") / "trail"
    sample.write(folder)
    return folder


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
def test_console_blocks_print_what_they_show(document: Path, trail: Path, tmp_path: Path) -> None:
    """Each command in a document prints what stands below it, ``...`` being any lines."""
    (tmp_path / "trail").symlink_to(trail)
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
