"""What Cloud Hypervisor's double serves and tells beside its API. Standard library only."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable


class Events:
    """The event monitor."""

    def __init__(self, path: str | None) -> None:
        self._file = open(path, "a", buffering=1) if path else None  # noqa: SIM115  # as long as the process
        self._began = time.monotonic()

    def tell(self, source: str, event: str, **properties: str) -> None:
        """One more."""
        if self._file is not None:
            passed = time.monotonic() - self._began
            stamp = {"secs": int(passed), "nanos": int(passed % 1 * 1e9)}
            told = {"timestamp": stamp, "source": source, "event": event, "properties": properties or None}
            self._file.write(json.dumps(told, indent=2) + "\n\n")


def accept(listener: socket.socket, serve: Callable[[socket.socket], None]) -> None:
    """Serves whoever connects, each in a thread."""
    with contextlib.suppress(OSError):
        while True:
            stream, _ = listener.accept()
            threading.Thread(target=serve, args=(stream,), daemon=True).start()


def nobody(stream: socket.socket) -> None:
    """A vsock on whose other side no one listens: who has said where to is hung up on."""
    with stream, contextlib.suppress(OSError):
        stream.recv(64)


def echo(stream: socket.socket) -> None:
    """A terminal at which no one is logged in: it shows what is typed."""
    with stream, contextlib.suppress(OSError):
        stream.sendall(b"double: up\r\n")
        while data := stream.recv(4096):
            stream.sendall(data)
