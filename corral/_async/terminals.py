"""The terminal of a command in a guest."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import msgspec
import websockets
from websockets.asyncio.client import ClientConnection

from corral._async.sockets import open_socket
from corral._async.transport import AsyncTransport
from corral._http import pause
from corral.errors import CorralError, Unavailable, Unreachable

AWAY_SECONDS = 60.0
"""For how long a connection that broke is made anew before that is an error."""
PIECE_BYTES = 8192
_LONGEST_PAUSE = 2.0
_RESTARTING = (1012, 1013)


class AsyncTerminal:
    """Iterate over it to see what it shows, as bytes, until its command has ended; from elsewhere type on it.

    A connection that breaks, as when the API or the host's agent is restarted, is made anew, and nothing shown is lost
    or comes twice. `offset`: how many bytes it has shown; another terminal of the same command goes on from there.
    """

    def __init__(self, transport: AsyncTransport, path: str, offset: int) -> None:
        self._transport, self._path, self.offset = transport, path, offset
        self.state = "running"
        self.exit_code: int | None = None
        self.refused: list[str] = []
        """What the API could not do of what was typed, newest last."""
        self._socket: ClientConnection | None = None
        self._is_left = False
        self._size: tuple[int, int] | None = None

    @property
    def is_connected(self) -> bool:
        """Whether what is typed now arrives."""
        return self._socket is not None

    async def type(self, data: bytes) -> None:
        """Type it; `Unreachable` while there is no connection. It is never typed twice."""
        for start in range(0, len(data), PIECE_BYTES):
            await self._say(data[start : start + PIECE_BYTES])

    async def resize(self, rows: int, columns: int) -> None:
        """Tell what runs there how large the window is; while there is no connection, as soon as there is one."""
        self._size = rows, columns
        with suppress(Unreachable):
            await self._tell_size()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        attempt, away_since = 0, time.monotonic()
        while self.state == "running" and not self._is_left:
            try:
                async for data in self._shown():
                    attempt = 0
                    yield data
                away_since = time.monotonic()
            except (Unreachable, Unavailable):
                if time.monotonic() - away_since > AWAY_SECONDS:
                    raise
            if self.state == "running" and not self._is_left:
                attempt += 1
                await asyncio.sleep(min(_LONGEST_PAUSE, pause(attempt)))

    async def close(self) -> None:
        """Look away; the command goes on."""
        self._is_left = True
        socket, self._socket = self._socket, None
        if socket is not None:
            await socket.close()

    async def _shown(self) -> AsyncIterator[bytes]:
        """What comes over one connection."""
        try:
            path = f"{self._path}?encoding=base64&stdout={self.offset}"
            async with open_socket(self._transport, path) as self._socket:
                await self._tell_size()
                async for text in self._socket:
                    frame = msgspec.json.decode(text)
                    if frame["type"] == "output":
                        self.offset = frame["next_offset"]
                        yield base64.b64decode(frame["data"])
                    else:
                        self._note(frame)
        except websockets.ConnectionClosedError as error:
            if error.rcvd is not None and error.rcvd.code not in _RESTARTING:
                raise CorralError(f"the terminal was cut off: {error.rcvd.reason}") from None
        finally:
            self._socket = None

    def _note(self, frame: Any) -> None:
        if frame["type"] == "exit":
            self.state, self.exit_code = frame["state"], frame["exit_code"]
        elif frame["type"] == "error":
            self.refused.append(frame["message"])

    async def _tell_size(self) -> None:
        if self._size is not None:
            rows, columns = self._size
            await self._say(msgspec.json.encode({"type": "resize", "rows": rows, "columns": columns}).decode())

    async def _say(self, message: str | bytes) -> None:
        socket = self._socket
        if socket is None:
            raise Unreachable("the terminal is not connected now")
        try:
            await socket.send(message)
        except websockets.ConnectionClosed:
            raise Unreachable("the terminal is not connected now") from None
