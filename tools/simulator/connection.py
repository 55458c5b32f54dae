"""A connection to Redis that costs little: a thousand hosts have two each, in one process.

redis-py takes a tenth of a millisecond and more for what takes five microseconds here, which would leave nothing of the
machine to the control plane that is looked at.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from core.contract.errors import Unavailable

Word = bytes | str | int
_CONNECT_SECONDS = 10.0


class RedisRefused(Exception):
    """Redis says no to something: the text is its own."""


class Connection(asyncio.Protocol):
    """Replies come in the order of what was asked. Anything that is asked once it is lost is a `ConnectionError`."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._got = bytearray()
        self._asked: deque[tuple[asyncio.Future[list[Any]], int, list[Any]]] = deque()

    async def ask(self, *commands: tuple[Word, ...]) -> list[Any]:
        """The replies to some commands, sent together; `RedisRefused` is among them for one that Redis refuses."""
        if self._transport is None or self._transport.is_closing():
            raise ConnectionResetError("not connected to Redis")
        future: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self._asked.append((future, len(commands), []))
        self._transport.write(b"".join(_packed(command) for command in commands))
        return await future

    def close(self) -> None:
        """Leave."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio's own."""
        self._transport = cast(asyncio.Transport, transport)  # it is TCP

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing of what was asked will be answered."""
        self._transport = None
        while self._asked:
            future, _, _ = self._asked.popleft()
            if not future.done():
                future.set_exception(ConnectionResetError("the connection to Redis was lost"))

    def data_received(self, data: bytes) -> None:
        """Hands out what is whole."""
        self._got += data
        at = 0
        while self._asked and (found := _parsed(self._got, at)) is not None:
            reply, at = found
            future, count, replies = self._asked[0]
            replies.append(reply)
            if len(replies) == count:
                self._asked.popleft()
                if not future.done():
                    future.set_result(replies)
        del self._got[:at]


async def connect(url: str, name: str) -> Connection:
    """A connection as the user that the address names; `Unavailable` says why there is none."""
    parts = urlsplit(url)
    if parts.scheme != "redis":
        raise Unavailable(f"simulated hosts reach Redis by redis:// alone, and this is {parts.scheme}://")
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            loop = asyncio.get_running_loop()
            _, connection = await loop.create_connection(Connection, parts.hostname or "", parts.port or 6379)
            greeting: list[tuple[Word, ...]] = [("CLIENT", "SETNAME", name)]
            if parts.password is not None:
                greeting.insert(0, ("AUTH", unquote(parts.username or "default"), unquote(parts.password)))
            if database := parts.path.strip("/") or "0":
                greeting += [("SELECT", database)] if database != "0" else []
            replies = await connection.ask(*greeting)
    except OSError as error:  # a timeout is one
        raise Unavailable(f"Redis at {parts.hostname}:{parts.port} can't be reached: {error}") from None
    for reply in replies:
        if isinstance(reply, RedisRefused):
            connection.close()
            raise Unavailable(f"Redis at {parts.hostname}:{parts.port} refuses {name}: {reply}")
    return connection


def _packed(command: tuple[Word, ...]) -> bytes:
    parts = [b"*%d\r\n" % len(command)]
    for word in command:
        text = word if isinstance(word, bytes) else str(word).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(text), text))
    return b"".join(parts)


def _parsed(data: bytearray, at: int) -> tuple[Any, int] | None:
    """The reply that begins there and where the next one does; None while it is not whole."""
    end = data.find(b"\r\n", at)
    if end < 0:
        return None
    kind, head, behind = data[at], bytes(data[at + 1 : end]), end + 2
    if kind in b"+:":
        return (int(head) if kind == 58 else head), behind
    if kind == 45:  # "-"
        return RedisRefused(head.decode(errors="replace")), behind
    length = int(head)
    if length < 0:
        return None, behind
    if kind == 36:  # "$"
        stop = behind + length
        return (bytes(data[behind:stop]), stop + 2) if len(data) >= stop + 2 else None
    items = []
    for _ in range(length):
        found = _parsed(data, behind)
        if found is None:
            return None
        items.append(found[0])
        behind = found[1]
    return items, behind
