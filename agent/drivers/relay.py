"""The console relay, a program between a VM's serial port and the agent: keeps the log, and passes input on.

VirtualBox and Cloud Hypervisor serve the port to one client on a unix socket and keep little or nothing of what nobody
reads, so that somebody must read all the time, agent or none. A guest's restart may make the socket anew. Run in the
VM's folder with that socket's path; ends with the VM. Standard library only.
"""

from __future__ import annotations

import fcntl
import os
import selectors
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

LOCK, LOG, KEYBOARD = "console.lock", "console.log", "keyboard.sock"
KEPT_BYTES = 4 * 1024 * 1024
CONNECT_SECONDS, AGAIN_SECONDS, TYPE_SECONDS = 90.0, 0.05, 5.0
ANEW_SECONDS = 2.0  # within which a port that was closed is served again, if it is


class Relay:
    """One serial port, and at most one who types."""

    def __init__(self, keyboard: socket.socket) -> None:
        self._keyboard = keyboard
        self._typist: socket.socket | None = None
        self._selector = selectors.DefaultSelector()
        self._selector.register(keyboard, selectors.EVENT_READ)

    def run(self, port: socket.socket) -> None:
        """Until the VM's process closes the port; may be called again with the next one."""
        self._port = port
        self._selector.register(port, selectors.EVENT_READ)
        try:
            self._serve()
        finally:
            self._selector.unregister(port)

    def _serve(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._keyboard:
                    self._accept()
                elif key.fileobj is self._typist:
                    self._type()
                elif not self._print():
                    return

    def _print(self) -> bool:
        try:
            data = self._port.recv(65536)
        except ConnectionError:
            return False
        if data:
            _append(data)
            if self._typist is not None:
                with suppress(OSError):  # who doesn't read doesn't get it; it is in the log
                    self._typist.send(data, socket.MSG_DONTWAIT)
        return bool(data)

    def _accept(self) -> None:
        new, _ = self._keyboard.accept()
        if self._typist is not None:
            new.close()
            return
        self._typist = new
        self._selector.register(new, selectors.EVENT_READ)

    def _type(self) -> None:
        typist = self._typist
        if typist is None:
            return
        data = b""
        with suppress(ConnectionError):
            data = typist.recv(4096)
        if data:
            with suppress(OSError):  # as on any serial line with no machine at its end
                self._port.sendall(data)
            return
        self._selector.unregister(typist)
        typist.close()
        self._typist = None


def main(path: str) -> None:
    """Serves that port, unless someone does, or its VM is gone."""
    with suppress(FileNotFoundError), Path(LOCK).open("r+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        port: socket.socket | None = _connected(path, CONNECT_SECONDS)
        with socket.socket(socket.AF_UNIX) as keyboard:
            Path(KEYBOARD).unlink(missing_ok=True)
            keyboard.bind(KEYBOARD)
            keyboard.listen(1)
            relay = Relay(keyboard)
            while port is not None:
                port.settimeout(TYPE_SECONDS)
                with port:
                    relay.run(port)
                with suppress(SystemExit):
                    port = _connected(path, ANEW_SECONDS)
                    continue
                port = None
        Path(KEYBOARD).unlink(missing_ok=True)


def _connected(path: str, seconds: float) -> socket.socket:
    deadline = time.monotonic() + seconds
    while True:
        port = socket.socket(socket.AF_UNIX)
        try:
            port.connect(path)
            return port
        except OSError as error:
            port.close()
            if time.monotonic() >= deadline or not Path(LOCK).exists():
                raise SystemExit(f"{path}: {error}") from None
        time.sleep(AGAIN_SECONDS)


def _append(data: bytes) -> None:
    log = Path(LOG)
    with open(log, "ab", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        file.write(data)
        long = file.tell() > KEPT_BYTES
    if long:
        log.replace(f"{LOG}.1")


if __name__ == "__main__":
    main(sys.argv[1])
