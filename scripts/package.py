"""
Build the Lambda: a folder for the stack, and the same as one zip.

The zip runs on arm64 and x86_64: extension modules of both lie side by side, as their names
differ. The same sources give the same bytes, on any machine.
"""

import argparse
import ast
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
SOURCE: Final = ROOT / "src"
ENTRY: Final = "apitracker.tracker.handler"
APP: Final = f'"""What Lambda calls: app.handler."""\n\nfrom {ENTRY} import handler as handler\n'
PYTHON: Final = "3.13"  # of the Runtime in sam.yaml
PROCESSORS: Final = ("aarch64", "x86_64")
LIBC: Final = ("manylinux_2_28", "manylinux_2_17", "manylinux2014")  # Lambda's is 2.34
DATE: Final = (1980, 1, 1, 0, 0, 0)  # the first that a zip can hold
MTIME: Final = 946_728_000  # noon of 1 January 2000 UTC: in no time zone before 1980
MODE: Final = 0o100644


def main() -> None:
    """Build where the command line says, and say what was built."""
    parser = argparse.ArgumentParser(description="Build the Lambda's folder and zip.")
    parser.add_argument("--to", type=Path, default=ROOT, metavar="FOLDER", help="or %(default)s")
    parser.add_argument("--python", default=PYTHON, metavar="X.Y", help="or %(default)s")
    given = parser.parse_args()
    to: Path = given.to
    files = {"app.py": APP.encode(), **dict(own()), **dict(libraries(given.python))}
    folder, archive = to / "build" / "lambda", to / "dist" / "apitracker-lambda.zip"
    write_folder(files, folder)
    write_zip(files, archive)
    print(f"{folder}: {len(files)} files\n{archive}: {archive.stat().st_size:,} bytes")  # noqa: T201


def own() -> Iterator[tuple[str, bytes]]:
    """Give our licence, and the modules that the handler needs: its imports are followed."""
    needed, found = {ENTRY}, dict[str, Path]()
    while needed:
        name = needed.pop()
        path = module(name)
        if path is None or name in found:
            continue
        found[name] = path
        needed |= {name.rpartition(".")[0], *imported(path)} - {""}
    for path in sorted(found.values()):
        yield path.relative_to(SOURCE).as_posix(), path.read_bytes()
    yield "licenses/apitracker/LICENSE", (ROOT / "LICENSE").read_bytes()


def module(name: str) -> Path | None:
    """Find the file of a module of ours."""
    path = SOURCE.joinpath(*name.split("."))
    return next((p for p in (path / "__init__.py", path.with_suffix(".py")) if p.is_file()), None)


def run(node: ast.AST) -> Iterator[ast.AST]:
    """Return all nodes below *node*, but for imports that only type checkers see."""
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield child
            yield from run(child)


def imported(path: Path) -> Iterator[str]:
    """Give the names of all that *path* imports, some of which are not modules."""
    for node in run(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def libraries(python: str) -> Iterator[tuple[str, bytes]]:
    """Give what is needed of the pinned wheels for *python* on each processor."""
    given: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory() as folder:
        for processor in PROCESSORS:
            download(python, processor, Path(folder, processor))
        for wheel in sorted(Path(folder).glob("*/*.whl")):
            for name, content in unpacked(wheel):
                if given.setdefault(name, content) != content:
                    sys.exit(f"{wheel.name}: its {name} is not that of the other processor")
    yield from sorted(given.items())


def download(python: str, processor: str, folder: Path) -> None:
    """Have pip bring the wheels of requirements/lambda.txt, whose hashes it checks."""
    platforms = [arg for libc in LIBC for arg in ("--platform", f"{libc}_{processor}")]
    command = [sys.executable, "-m", "pip", "download", "-qq", "--disable-pip-version-check"]
    command += ["--no-deps", "--require-hashes", "--only-binary", ":all:"]
    command += ["--implementation", "cp", "--python-version", python, *platforms]
    command += ["--requirement", str(ROOT / "requirements" / "lambda.txt"), "--dest", str(folder)]
    if subprocess.run(command, check=False).returncode:  # noqa: S603 - pip
        sys.exit(f"pip could not bring the wheels for {processor}: see above")


def unpacked(wheel: Path) -> Iterator[tuple[str, bytes]]:
    """Give the modules of a *wheel*, and its licences in a place of their own."""
    library = wheel.name.partition("-")[0]
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            path = PurePosixPath(name)
            if path.name.startswith(("LICENSE", "COPYING", "NOTICE")):
                inner = [p for p in path.parts if not p.endswith(".dist-info") and p != "licenses"]
                if inner[0] == library:
                    inner = inner[1:]
                yield "/".join(["licenses", library, *inner]), archive.read(name)
            elif path.suffix in {".py", ".so"} and path.name != "__main__.py":
                yield name, archive.read(name)


def write_folder(files: dict[str, bytes], folder: Path) -> None:
    """Write *files* to *folder*, in place of what was there."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(dir=folder.parent, prefix="new-"))
    for name, content in files.items():
        path = new / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    tidy(new.rglob("*"))
    tidy([new])
    shutil.rmtree(folder, ignore_errors=True)
    new.rename(folder)


def tidy(paths: Iterable[Path]) -> None:
    """Give *paths* the same modes and times everywhere: they end up in the zip that is deployed."""
    for path in paths:
        path.chmod(0o755 if path.is_dir() else 0o644)
        os.utime(path, (MTIME, MTIME))


def write_zip(files: dict[str, bytes], path: Path) -> None:
    """
    Write *files* as a zip.

    Stored, not deflated: a compressor's output differs between versions of zlib.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    with zipfile.ZipFile(new, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, DATE)
            entry.create_system = 3  # Unix, whose modes follow
            entry.external_attr = MODE << 16
            archive.writestr(entry, files[name])
    new.replace(path)


if __name__ == "__main__":
    main()
