"""The direction of the imports, one library per module, and what an import costs."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

import apitracker
from apitracker import errors
from apitracker.core.counts import Counts

PACKAGE = Path(apitracker.__file__).parent
MODULES = {
    ".".join(("apitracker", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(
        ".__init__"
    ): path
    for path in sorted(PACKAGE.rglob("*.py"))
}

KNOWS = {
    "errors": set(),
    "settings": {"errors"},
    "core": {"errors", "settings", "core"},
    "tracker": {"errors", "settings", "core", "tracker"},
    "aws": {"errors"},
    "operations": {"errors", "settings", "core", "tracker", "aws", "operations"},
    "logs": {"errors", "settings", "core", "aws", "logs"},
    "store": {"errors", "settings", "core", "logs", "store"},
    "page": {"errors", "settings", "core", "logs", "store", "page"},
    "costs": {"errors", "settings", "core", "tracker", "logs", "costs"},
    "synthetic": {"errors", "settings", "core", "synthetic"},
    "jobs": {
        *("errors", "settings", "core", "tracker", "aws", "operations", "logs", "store"),
        *("costs", "jobs"),
    },
}
KNOWS["cli"] = {*KNOWS, "cli"}
"""The rooms of the house, and the rooms that each may import from."""

OWNERS = {
    "boto3": "apitracker.aws",
    "botocore": "apitracker.aws",
    "duckdb": "apitracker.store.connections",
    "click": "apitracker.cli",
    "xxhash": "apitracker.core.identity",
    "numpy": "apitracker.store",
    "fastapi": "apitracker.page.app",
    "pydantic": "apitracker.page",
    "uvicorn": "apitracker.page.server",
}

PUBLIC = ["Balance", "Counted", "Counts", "Log", "Rejected", "Settings", "Unread", "count"]


class Import(NamedTuple):
    """A name taken *source* -> *target*; *name* is empty where the module itself is imported."""

    source: str
    target: str
    name: str


def imports(module: str) -> Iterator[Import]:
    """Every import of *module*, those inside functions too, with names that are modules as such."""
    path = MODULES[module]
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (Import(module, alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            target = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                inner = f"{target}.{alias.name}"
                yield (
                    Import(module, inner, "")
                    if inner in MODULES
                    else Import(module, target, alias.name)
                )


IMPORTS = [found for module in MODULES for found in imports(module)]


def part(module: str) -> str:
    """The part of the package that *module* is in; empty for the front door."""
    return module.split(".")[1] if "." in module else ""


def loaded(*statements: str) -> set[str]:
    """The top-level names of all modules that a fresh interpreter has after *statements*."""
    script = "; ".join(
        [
            *statements,
            "import sys, json",
            "print(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))",
        ]
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", script], check=True, capture_output=True, text=True
    )
    return set(json.loads(done.stdout))


def test_imports_are_seen() -> None:
    """The reader of imports sees them at the top, inside functions, and of modules by name."""
    assert Import("apitracker.errors", "apitracker.errors", "") not in IMPORTS
    assert Import("apitracker.cli.main", "click", "") in IMPORTS
    assert Import("apitracker.cli.counts", "apitracker.store.database", "Store") in IMPORTS
    assert Import("apitracker.logs.sources", "apitracker.aws", "") in IMPORTS
    assert Import("apitracker.aws", "boto3", "") in IMPORTS


def test_every_part_is_known() -> None:
    """A new part of the package has to say which parts it may import from."""
    assert {part(module) for module in MODULES} == {"", *KNOWS}


def test_layers() -> None:
    """The rooms of the house import in one direction, as `KNOWS` draws it."""
    wrong = {
        (i.source, i.target)
        for i in IMPORTS
        if i.target in MODULES and part(i.source) and part(i.target) not in KNOWS[part(i.source)]
    }

    assert set() == wrong


@pytest.mark.parametrize(("library", "owner"), OWNERS.items())
def test_one_module_per_library(library: str, owner: str) -> None:
    """Each of these libraries is imported by one module, or package, wherever in it."""
    users = {i.source for i in IMPORTS if i.target.split(".")[0] == library}

    assert users
    assert {user for user in users if not f"{user}.".startswith(f"{owner}.")} == set()


def test_no_cycles() -> None:
    """No module imports itself by way of others."""
    graph: dict[str, set[str]] = {module: set() for module in MODULES}
    for found in IMPORTS:
        if found.target in MODULES:
            graph[found.source].add(found.target)

    assert set(MODULES) == set(TopologicalSorter(graph).static_order())


def test_front_doors_are_for_guests() -> None:
    """Inside, names are imported from where they are made, never from a package's __init__."""
    packages = {module for module, path in MODULES.items() if path.name == "__init__.py"}

    assert [i for i in IMPORTS if i.target in packages] == []


def test_nothing_is_star_imported() -> None:
    """Every imported name is written down."""
    assert [i for i in IMPORTS if i.name == "*"] == []


def test_the_core_reads_no_clock_and_no_environment() -> None:
    """The clock, settings, files and clients are arguments of the core."""
    outside = {"os", "time", "pathlib", "subprocess", "socket", "random", "logging", "sys"}
    core = {i.target.split(".")[0] for i in IMPORTS if part(i.source) == "core"}

    assert set() == core & outside


def test_importing_the_package_is_cheap() -> None:
    """The front door pulls in msgspec, and none of the heavy libraries."""
    modules = loaded("import apitracker")

    assert "msgspec" in modules
    assert set() == modules & {
        "duckdb",
        "boto3",
        "botocore",
        "click",
        "numpy",
        "isal.igzip_threaded",
    }


def test_the_lambda_imports_little() -> None:
    """The handler loads neither AWS's SDK nor what only the laptop needs, where it need not be."""
    modules = loaded("import apitracker.tracker.handler")

    assert {"msgspec", "isal"} <= modules
    assert set() == modules & {
        *("boto3", "botocore", "numpy", "xxhash", "duckdb", "click", "fastapi"),
        *("multiprocessing", "concurrent", "importlib_metadata"),
    }


def test_importing_the_command_line_is_cheap() -> None:
    """Help does not wait for the store, for AWS or for numpy."""
    modules = loaded("import apitracker.cli.main")

    assert "click" in modules
    assert set() == modules & {"duckdb", "boto3", "botocore", "numpy"}


def test_the_tracker_has_no_libraries_but_those_of_the_core() -> None:
    """The Lambda's package and its cold start are paid by the library: msgspec, isal, pybase64."""
    allowed = {*sys.stdlib_module_names, "apitracker", "msgspec", "isal", "pybase64"}
    used = {i.target.split(".")[0] for i in IMPORTS if part(i.source) in {"core", "tracker"}}
    modules = loaded("import apitracker.tracker.handler")

    # Only core.identity has xxhash, which the package for Lambda lacks. msgspec takes
    # typing_extensions where they are installed.
    assert used - allowed == {"xxhash"}
    public = {name for name in modules if not name.startswith("_")}
    assert public - allowed - {"typing_extensions"} == set()
    assert "asyncio" not in modules  # it takes as long as all of the others


def test_front_door() -> None:
    """The names for users stand at the top, sorted, and nothing else does."""
    offered = apitracker.__all__
    faults = {name for name, thing in vars(errors).items() if isinstance(thing, type)}
    modules = {module.split(".")[1] for module in MODULES if module.count(".") == 1}
    tools = {"TYPE_CHECKING", "import_module"}
    public = {name for name in vars(apitracker) if not name.startswith("_")} - modules - tools

    assert sorted(offered) == offered
    assert {*PUBLIC, *faults} == set(offered)
    assert public | {"count"} == set(offered)


def test_front_door_opens() -> None:
    """Each offered name is the one made inside, and another one is not there."""
    from apitracker.jobs.count import count  # noqa: PLC0415 - compared with

    assert apitracker.count is count
    assert apitracker.Counts is Counts
    assert apitracker.ApiTrackerError is errors.ApiTrackerError
    with pytest.raises(AttributeError, match="module 'apitracker' has no attribute 'decode'"):
        apitracker.decode  # type: ignore[attr-defined]  # noqa: B018


def test_every_error_is_one_of_ours() -> None:
    """All errors are in one tree, which the docstring of the module draws."""
    tree = errors.__doc__ or ""

    for name, thing in vars(errors).items():
        if isinstance(thing, type):
            assert issubclass(thing, errors.ApiTrackerError)
            assert name in tree
