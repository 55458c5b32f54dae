"""Stands between an agent and the API, counts what passes, holds it back, and cuts connections off."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress

_PIECE = 64 * 1024
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: what is not sent yet is lost


class Cutting:
    """`every`: after how many bytes from the API a connection is cut, or held until `flow` is set; `cuts`: how many are
    cut."""

    def __init__(self, url: str) -> None:
        host, _, port = url.removeprefix("http://").partition(":")
        self._api = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.every = self.cuts = self.passed = 0
        self.flow = threading.Event()
        self.flow.set()
        threading.Thread(target=self._accept, daemon=True).start()

    def hold(self, after: int) -> None:
        """From now on no more passes of each connection."""
        self.every = after
        self.flow.clear()

    def close(self) -> None:
        self.flow.set()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=[client], daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError), socket.create_connection(self._api) as api:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _PIECE)
            threading.Thread(target=_pass_on, args=[client, api], daemon=True).start()
            of_this = 0
            while piece := api.recv(_PIECE):
                client.sendall(piece)
                of_this += len(piece)
                self.passed += len(piece)
                if of_this >= self.every:
                    self.flow.wait()
                if self.cuts and of_this >= self.every:
                    self.cuts -= 1
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                    client.shutdown(socket.SHUT_RD)  # the other thread lets go of it
                    return


def _pass_on(source: socket.socket, to: socket.socket) -> None:
    with suppress(OSError):  # either has gone
        while piece := source.recv(_PIECE):
            to.sendall(piece)
        to.shutdown(socket.SHUT_WR)
