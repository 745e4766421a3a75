"""Settings: read once from the environment, checked at the door."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apitracker.errors import SettingsError
from apitracker.settings import Settings, load


def test_defaults() -> None:
    """An empty environment gives the defaults, and no name is unknown."""
    settings, unknown = load({})

    assert (536_870_912, 0, Path("usage.duckdb")) == (
        settings.max_log_bytes,
        settings.processes,
        settings.store,
    )
    assert unknown == []


def test_given() -> None:
    """Each variable sets its field, as a value of the field's type."""
    environ = {
        "APITRACKER_MAX_LOG_BYTES": "1",
        "APITRACKER_PROCESSES": "3",
        "APITRACKER_STORE": "elsewhere/prod.duckdb",
    }

    assert (
        Settings(max_log_bytes=1, processes=3, store=Path("elsewhere/prod.duckdb")),
        [],
    ) == load(environ)


def test_others_variables_are_not_ours() -> None:
    """What does not begin with our prefix is nobody's business."""
    others = {"PATH": "/bin", "STORE": "x", "_APITRACKER_COMPLETE": "bash_source"}

    assert (Settings(), []) == load(others)


def test_unknown_names_come_back_sorted() -> None:
    """A name that is no setting is given back and loses no other."""
    settings, unknown = load(
        {"APITRACKER_STOER": "x", "APITRACKER_PROCESSES": "2", "APITRACKER_A": ""}
    )

    assert settings.processes == 2
    assert unknown == ["APITRACKER_A", "APITRACKER_STOER"]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("APITRACKER_PROCESSES", "many", "must be a whole number"),
        ("APITRACKER_PROCESSES", "", "must be a whole number"),
        ("APITRACKER_PROCESSES", "1.5", "must be a whole number"),
        ("APITRACKER_PROCESSES", "-1", "at least 0"),
        ("APITRACKER_MAX_LOG_BYTES", "0", "at least 1"),
        ("APITRACKER_MAX_LOG_BYTES", "512M", "must be a whole number"),
        ("APITRACKER_LEDGER_DOWN", "wait", "must be hold or publish"),
        ("APITRACKER_RECORDED", "prod", "account ids separated by spaces"),
        ("APITRACKER_RECORDED", "111122223333,444455556666", "account ids separated by spaces"),
    ],
)
def test_bad_values_are_named(name: str, value: str, words: str) -> None:
    """The error has the variable, its value and what is wanted."""
    with pytest.raises(SettingsError) as fault:
        load({name: value})

    assert str(fault.value).startswith(f"{name}={value}: ")
    assert words in str(fault.value)


@given(st.integers())
def test_processes_are_taken_or_refused(n: int) -> None:
    """Any whole number is the number of processes, or an error, never something else."""
    try:
        settings, _ = load({"APITRACKER_PROCESSES": str(n)})
    except SettingsError:
        assert not 0 <= n <= 256
    else:
        assert n == settings.processes


def test_workers() -> None:
    """There is always somebody to read logs: as many as asked for, or one for each processor."""
    assert Settings(processes=5).workers == 5
    assert Settings().workers >= 1
