"""The server: one port on this machine, until it is stopped."""

import signal
import socket
import threading
import webbrowser
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import uvicorn

from apitracker.errors import ServeError
from apitracker.page.app import ANY, LOOPBACK, make_app

PORT: Final = 8765


def listen(host: str, port: int | None) -> socket.socket:
    """
    Take *port* at *host*; without one `PORT`, or a free one where that is taken.

    `ServeError` when the port cannot be taken.
    """
    try:
        return _bind(host, PORT if port is None else port)
    except OSError as e:
        fault = e
    if port is None:
        with suppress(OSError):
            return _bind(host, 0)
    wanted = PORT if port is None else port
    raise ServeError(
        f"{host} port {wanted}: {fault.strerror or fault}; give another --port; 0 picks a free one"
    ) from fault


def _bind(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listening = socket.socket(family, kind, protocol)
    try:
        # Or a port would stay taken for a minute after a server on it has been stopped.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen()
    except BaseException:
        listening.close()
        raise
    return listening


def address(host: str, listening: socket.socket) -> str:
    """Return the address of the page, for a browser on this machine."""
    port = listening.getsockname()[1]
    name = "127.0.0.1" if host in ANY else f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}/"


def is_local(host: str) -> bool:
    """Tell whether only this machine can reach *host*."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def serve(path: Path, host: str, listening: socket.socket, *, browse: bool = False) -> None:
    """
    Serve the page of the store at *path* until Ctrl-C or SIGTERM; with *browse*, open a browser.

    It stops once the questions at hand have been answered.
    """
    config = uvicorn.Config(
        make_app(path, LOOPBACK | {host.lower()}),
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
    )
    if browse:
        # In a thread: some browsers run in the terminal until they are closed.
        threading.Thread(
            target=webbrowser.open, args=(address(host, listening),), daemon=True
        ).start()
    # uvicorn stops at either signal, and then raises it again for the handler before its own.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt), listening:
        uvicorn.Server(config).run([listening])
