"""The Lambda's package: what is in it, that it is always the same, and that it needs no more."""

import ast
import json
import re
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "scripts" / "package.py"
RUNTIME = "3.13"
LIMIT = 5_000_000  # bytes, of 50 MB that Lambda takes
EXTENSIONS = {"_isal", "igzip_lib", "isal_zlib", "_core", "_pybase64"}
TRACKED = """
import sys, time
sys.path[:] = [p for p in sys.path if "-packages" not in p]
sys.path.insert(0, sys.argv[1])
import base64, gzip, json, os, threading
from http.server import BaseHTTPRequestHandler, HTTPServer

bodies = []

class CloudWatch(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass

server = HTTPServer(("127.0.0.1", 0), CloudWatch)
threading.Thread(target=server.serve_forever, daemon=True).start()
os.environ.update(
    AWS_ENDPOINT_URL=f"http://127.0.0.1:{server.server_port}",
    AWS_REGION="us-east-1",
    AWS_ACCESS_KEY_ID="123456789012",
    AWS_SECRET_ACCESS_KEY="dummy",
)
import app

class Context:
    aws_request_id = "r"

    def get_remaining_time_in_millis(self):
        return 30_000

now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
record = {"eventTime": now, "eventName": "GetUser", "eventSource": "iam.amazonaws.com",
          "awsRegion": "us-east-1", "eventID": "e"}
payload = {"messageType": "DATA_MESSAGE", "logGroup": "g", "logStream": "s",
           "logEvents": [{"id": "1", "timestamp": 0, "message": json.dumps(record)}]}
data = base64.b64encode(gzip.compress(json.dumps(payload).encode())).decode()
app.handler({"awslogs": {"data": data}}, Context())
files = [getattr(module, "__file__", None) or "" for module in sys.modules.values()]
outside = [file for file in files if "-packages" in file]
print(json.dumps({"bodies": bodies, "outside": outside, "from": app.__file__}))
"""


def build(folder: Path, *args: str) -> None:
    """Run the script, to *folder*."""
    done = subprocess.run(
        [sys.executable, SCRIPT, "--to", folder, *args], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the Lambda was built in."""
    folder = tmp_path_factory.mktemp("package")
    build(folder)
    return folder


@pytest.fixture(scope="module")
def archive(built: Path) -> Path:
    """The zip."""
    return built / "dist" / "apitracker-lambda.zip"


@pytest.fixture(scope="module")
def names(archive: Path) -> list[str]:
    """The names of all files in the zip."""
    with zipfile.ZipFile(archive) as opened:
        return opened.namelist()


def test_same_bytes_twice(archive: Path, tmp_path: Path) -> None:
    """Building again gives the same zip, byte for byte."""
    build(tmp_path)

    assert (tmp_path / "dist" / archive.name).read_bytes() == archive.read_bytes()


def test_builds_over_what_was_there(archive: Path, tmp_path: Path) -> None:
    """What an earlier build left in the folder is gone, and nothing else is left behind."""
    left = tmp_path / "build" / "lambda" / "left.py"
    left.parent.mkdir(parents=True)
    left.touch()

    build(tmp_path)

    assert not left.exists()
    assert [p.name for p in (tmp_path / "build").iterdir()] == ["lambda"]
    assert [p.name for p in (tmp_path / "dist").iterdir()] == [archive.name]


def test_nothing_of_the_machine(archive: Path) -> None:
    """Order, dates, modes and compression of the zip depend on no machine."""
    with zipfile.ZipFile(archive) as opened:
        entries = opened.infolist()

    assert [e.filename for e in entries] == sorted(e.filename for e in entries)
    assert {e.date_time for e in entries} == {(1980, 1, 1, 0, 0, 0)}
    assert {stat.filemode(e.external_attr >> 16) for e in entries} == {"-rw-r--r--"}
    assert {e.compress_type for e in entries} == {zipfile.ZIP_STORED}
    assert {e.create_system for e in entries} == {3}


def test_folder_is_the_zip(built: Path, archive: Path) -> None:
    """The folder that the stack deploys holds the same files as the zip, of one fixed date."""
    folder = built / "build" / "lambda"
    files = [path for path in folder.rglob("*") if path.is_file()]
    with zipfile.ZipFile(archive) as opened:
        zipped = {name: opened.read(name) for name in opened.namelist()}

    assert {p.relative_to(folder).as_posix(): p.read_bytes() for p in files} == zipped
    assert len({path.stat().st_mtime for path in folder.rglob("*")}) == 1


def test_only_what_is_needed(names: list[str]) -> None:
    """The zip has our code, three libraries and licences; no boto3, bytecode, test or stub."""
    assert {PurePosixPath(name).parts[0] for name in names} == {
        "app.py",
        "apitracker",
        "isal",
        "licenses",
        "msgspec",
        "pybase64",
    }
    assert {PurePosixPath(n).suffix for n in names if not n.startswith("licenses/")} == {
        ".py",
        ".so",
    }
    assert not [name for name in names if "test" in name or "dist-info" in name]


def test_only_what_the_handler_imports(names: list[str]) -> None:
    """Of our modules, only those of core and tracker are in: the laptop's and boto3's stay out."""
    ours = {name for name in names if name.startswith("apitracker/")}

    assert {
        "apitracker/__init__.py",
        "apitracker/errors.py",
        "apitracker/settings.py",
        "apitracker/tracker/handler.py",
        "apitracker/tracker/put_metric_data.py",
        "apitracker/tracker/signing.py",
        "apitracker/core/records.py",
    } <= ours
    inside = {PurePosixPath(name).parts[1] for name in ours}
    assert inside == {"__init__.py", "errors.py", "settings.py", "core", "tracker"}


def test_licences_are_in(names: list[str]) -> None:
    """Each library's licence is in the zip, and ours."""
    assert {name.split("/")[1] for name in names if name.startswith("licenses/")} == {
        "apitracker",
        "isal",
        "msgspec",
        "pybase64",
    }


@pytest.mark.parametrize("processor", ["aarch64", "x86_64"])
def test_extensions_of_both_processors(archive: Path, names: list[str], processor: str) -> None:
    """Each extension module is there for each processor, and its machine code is for it."""
    tag = f".cpython-{RUNTIME.replace('.', '')}-{processor}-linux-gnu.so"
    found = [name for name in names if name.endswith(tag)]
    machine = {"aarch64": 0xB7, "x86_64": 0x3E}[processor]

    assert {PurePosixPath(name).name.removesuffix(tag) for name in found} == EXTENSIONS
    with zipfile.ZipFile(archive) as opened:
        for name in found:
            head = opened.read(name)[:20]
            assert head[:4] == b"\x7fELF"
            assert int.from_bytes(head[18:20], "little") == machine


def test_size(archive: Path) -> None:
    """The zip is a few megabytes, far from what Lambda takes."""
    assert archive.stat().st_size < LIMIT


def test_app(built: Path) -> None:
    """The zip's app.py does nothing but name the handler."""
    tree = ast.parse((built / "build" / "lambda" / "app.py").read_text())

    assert [type(node) for node in tree.body] == [ast.Expr, ast.ImportFrom]
    assert ast.unparse(tree.body[1]) == (
        "from apitracker.tracker.handler import handler as handler"
    )


def test_pinned() -> None:
    """The libraries are those of the rest of the project, with hashes and without an address."""
    pins = (ROOT / "requirements" / "lambda.txt").read_text()
    project = (ROOT / "requirements" / "run.txt").read_text()
    found = re.findall(r"^(\S+==\S+)", pins, re.MULTILINE)

    assert {pin.partition("==")[0] for pin in found} == {"isal", "msgspec", "pybase64"}
    assert all(pin in project for pin in found)
    assert pins.count("--hash=sha256:") > len(found)
    assert "://" not in pins


def python(version: str) -> str:
    """A Python of that *version*: this one, on the PATH, or of pyenv. Skips if there is none."""
    beside = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    for path in (sys.executable, shutil.which(f"python{version}"), *map(str, beside)):
        if (
            path
            and version
            == subprocess.run(
                [path, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
                check=False,
                capture_output=True,
                text=True,
            ).stdout.strip()
        ):
            return path
    pytest.skip(f"no python{version} is here")


def test_runs_alone(archive: Path, tmp_path: Path) -> None:
    """The zip, unpacked, handles an event in a bare interpreter of the runtime's version."""
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(tmp_path)

    done = subprocess.run(
        [python(RUNTIME), "-I", "-S", "-B", "-c", TRACKED, tmp_path],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={},
    )

    assert done.returncode == 0, done.stderr
    *logged, last = map(json.loads, done.stdout.splitlines())
    assert [line["Published"] for line in logged if line["message"] == "tracked"] == [1]
    (body,) = last["bodies"]
    assert body["Namespace"] == "API-COUNT"
    assert body["MetricData"][0]["MetricName"] == "GetUser"
    assert last["from"] == str(tmp_path / "app.py")
    assert not last["outside"]
