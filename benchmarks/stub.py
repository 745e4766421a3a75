"""
CloudWatch and DynamoDB, as little as it takes: ``python -m benchmarks.stub``.

Answers every POST with 200 over a connection that it keeps, the same for every contender, in a
process of its own. CloudWatch's answer is empty; an item is what its update says, as if there had
been none. It prints its port first.
"""

import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from benchmarks.measure import ROOT

ANSWER: Final = (
    b"HTTP/1.1 200 OK\r\nx-amzn-RequestId: 0\r\nContent-Type: application/x-amz-json-1.0\r\n"
    b"Content-Length: %d\r\n\r\n%b"
)
SET: Final = re.compile(r"(\w+) = (?:if_not_exists\(\w+, )?(:\w+)")
LENGTH: Final = b"content-length:"


@contextmanager
def running() -> Iterator[dict[str, str]]:
    """Run it while the block lasts; give the environment of a Lambda that publishes to it."""
    command = [sys.executable, "-m", "benchmarks.stub"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout  # noqa: S101 - as asked for
        port = int(process.stdout.readline())
        try:
            yield {
                "AWS_ENDPOINT_URL_CLOUDWATCH": f"http://127.0.0.1:{port}",
                "AWS_ENDPOINT_URL_DYNAMODB": f"http://127.0.0.1:{port}",
                "AWS_LAMBDA_FUNCTION_NAME": "tracker",
                "AWS_REGION": "us-east-1",
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_ACCESS_KEY_ID": "123456789012",
                "AWS_SECRET_ACCESS_KEY": "secret",
                "AWS_SESSION_TOKEN": "token",
                "AWS_CONFIG_FILE": os.devnull,
                "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            }
        finally:
            process.kill()


def _serve(connection: socket.socket) -> None:
    held = b""
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while piece := connection.recv(1 << 20):
            held += piece
            head, end, body = held.partition(b"\r\n\r\n")
            if not end:
                continue
            lower = head.lower()
            at = lower.index(LENGTH) + len(LENGTH)
            wanted = int(lower[at:].split(b"\r\n", 1)[0])
            if b"expect: 100-continue" in lower and not body:
                connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            if len(body) >= wanted:
                held = b""
                answer = _answer(lower, body)
                connection.sendall(ANSWER % (len(answer), answer))


def _answer(head: bytes, body: bytes) -> bytes:
    """Answer with the item that an update of none would leave; with nothing to all else."""
    if b".updateitem" not in head:
        return b"{}"
    asked = json.loads(body)
    values = asked["ExpressionAttributeValues"]
    item = {name: values[value] for name, value in SET.findall(asked["UpdateExpression"])}
    if ":metrics" in values:
        item["admitted"] = values[":metrics"]
    return json.dumps({"Attributes": item}).encode()


def main() -> None:
    """Serve until killed."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        print(server.getsockname()[1], flush=True)
        while True:
            connection, _ = server.accept()
            threading.Thread(target=_serve, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    main()
