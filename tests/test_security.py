"""What scanners find in the code and in what it is pinned to."""

import json
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BANDIT = ROOT / ".venv-lint" / "bin" / "bandit"
REQUIREMENTS = sorted((ROOT / "requirements").glob("*.txt"))


def bandit(*options: str) -> set[tuple[str, str]]:
    """What bandit finds in what is shipped: the check and the file."""
    if not BANDIT.exists():
        if os.environ.get("CI"):
            pytest.fail("no .venv-lint: make check makes it")
        pytest.skip("no .venv-lint: make check makes it")
    done = subprocess.run(
        [BANDIT, "-q", "-f", "json", "-r", *options, "src", "scripts"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    found = json.loads(done.stdout)
    assert found["errors"] == []
    assert found["metrics"]["_totals"]["loc"] > 5_000
    return {(result["test_id"], result["filename"]) for result in found["results"]}


def test_bandit() -> None:
    """Bandit finds nothing but what pyproject.toml has a reason for."""
    assert bandit("-c", "pyproject.toml") == set()


def test_exceptions_are_needed() -> None:
    """Each exception is for something that is there, and for these files alone."""
    assert bandit() == {
        ("B104", "src/apitracker/page/app.py"),
        ("B105", "src/apitracker/tracker/budget.py"),
        ("B311", "src/apitracker/synthetic/trail.py"),
        ("B404", "scripts/package.py"),
        ("B603", "scripts/package.py"),
        ("B608", "src/apitracker/store/incidents.py"),
        ("B608", "src/apitracker/store/queries.py"),
        ("B608", "src/apitracker/store/selecting.py"),
        ("B608", "src/apitracker/store/writing.py"),
    }


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: path.name)
def test_every_requirement_is_pinned(path: Path) -> None:
    """Each package has one version, from whatever index it comes."""
    lines = [line for line in path.read_text().splitlines() if line and line[0] not in "# "]
    assert lines
    assert [line for line in lines if "==" not in line] == []
    assert "://" not in path.read_text()


def test_audit_looks_at_every_requirement() -> None:
    """`make audit` has all files of requirements looked up."""
    done = subprocess.run(
        ["/usr/bin/make", "-n", "audit"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "for file in requirements/*.txt" in done.stdout
    assert "--strict" in done.stdout
