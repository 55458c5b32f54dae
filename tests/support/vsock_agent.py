"""A guest agent on a vsock, with a socket in the place of the hypervisor's."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from agent.guest import qga, vsock
from core.contract.messages import JSON


class VsockAgent:
    """What a hypervisor serves. `listens`: an agent is there; `hangs_up`: so often it goes before it answers.

    `calls`: how often somebody connected. `answers`: by question; all others have an empty one. `says`: the line that
    each question is answered by, whatever it is.
    """

    def __init__(self, folder: Path) -> None:
        self.answers: dict[str, JSON] = {}
        self.says: Iterable[bytes] | None = None
        self.listens, self.hangs_up, self.calls = True, 0, 0
        self.asked: list[str] = []
        self._server = socket.socket(socket.AF_UNIX)
        (folder / vsock.SOCKET).parent.mkdir()
        self._server.bind(str(folder / vsock.SOCKET))
        self._server.listen(4)
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """The VM is off."""
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                stream, _ = self._server.accept()
                self.calls += 1
                with stream, suppress(ConnectionError):
                    self._converse(stream)

    def _converse(self, stream: socket.socket) -> None:
        if stream.recv(64) != f"CONNECT {vsock.PORT}\n".encode() or not self.listens:
            return
        stream.sendall(b"OK 1073741824\n")
        if self.hangs_up:
            self.hangs_up -= 1
            return
        with stream.makefile("rb") as lines:
            for line in lines:
                request = json.loads(line.lstrip(qga.SENTINEL))
                self.asked.append(request["execute"])
                told: JSON = {"return": request["arguments"].get("id", {})}
                answer = self.answers.get(request["execute"], told)
                if self.says is not None and request["execute"] != "guest-sync-delimited":
                    for some in self.says:
                        stream.sendall(some)
                    continue
                marked = qga.SENTINEL if request["execute"] == "guest-sync-delimited" else b""
                stream.sendall(marked + json.dumps(answer).encode() + b"\n")
