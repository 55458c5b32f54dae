"""TCP ports on the loopback address."""

from __future__ import annotations

import random
import socket
import time
from pathlib import Path

from cli.fleet.processes import StartFailed
from core import settings

_chosen: set[int] = set()


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen there now."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def choose(count: int = 1) -> int:
    """The first of that many ports in a row, which are free now.

    None is chosen twice in one process: who was given a port may listen there only later.
    """
    first, last = settings.load().ports
    for _ in range(200):
        row = set(range(port := random.randint(first, last), port + count))
        if row.isdisjoint(_chosen) and all(map(is_free, row)):
            _chosen.update(row)
            return port
    raise StartFailed(f"no free TCP port between {first} and {last}: set CORRAL_PORTS to another range")


def remembered(path: Path) -> int:
    """The port written in that file if it is free still, else another, written down."""
    try:
        port = int(path.read_text())
        if is_free(port):
            return port
    except (FileNotFoundError, ValueError):
        pass
    port = choose()
    path.write_text(f"{port}\n")
    return port


def choose_free(variable: str, port: int, host: str) -> int:
    """That port, or any free one for 0; `StartFailed` when it is taken, naming the variable that sets it."""
    if port == 0:
        return choose()
    deadline = time.monotonic() + 3  # the workers of a gunicorn that was killed need a second to notice
    while not is_free(port, host):
        if time.monotonic() > deadline:
            raise StartFailed(f"port {port} is taken by another program: set {variable} to a free one")
        time.sleep(0.1)
    return port


def reachable(host: str) -> str:
    """How a URL on this machine names a server that is bound to `host`."""
    if host in ("0.0.0.0", "::"):  # noqa: S104 - nothing is bound here
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
