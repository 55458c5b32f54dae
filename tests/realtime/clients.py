"""A WebSocket client that reads when it is told to, and no sooner."""

from __future__ import annotations

import base64
import json
import secrets
import socket
import time
from typing import Any

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import CloseConnection, Event, Ping, Pong, TextMessage

from tests.support.waiting import HANG_SECONDS


class Refused(Exception):
    """The handshake was answered with another status."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"{status} {body}")
        self.status, self.body = status, body


class Closed(Exception):
    """The server closed; `code` 1006 without a close frame."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code, self.reason = code, reason


class SocketClient:
    """One connection. `Refused` when there is no handshake."""

    def __init__(
        self, port: int, path: str, headers: dict[str, str] | None = None, *, buffer: int = 0, pongs: bool = True
    ) -> None:
        self.socket = socket.socket()
        if buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.socket.settimeout(HANG_SECONDS)
        self.socket.connect(("127.0.0.1", port))
        self.pings = 0
        self._pongs = pongs
        self._text = ""
        self._events: list[Event] = []
        lines = {
            "Host": "test",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": base64.b64encode(secrets.token_bytes(16)).decode(),
            **(headers or {}),
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value)
        self.socket.sendall(f"GET {path} HTTP/1.1\r\n{head}\r\n".encode())
        rest = self._handshake()
        self._ws = Connection(ConnectionType.CLIENT, trailing_data=rest)
        self._ws.receive_data(b"")
        self._events.extend(self._ws.events())

    def receive(self, seconds: float = HANG_SECONDS) -> dict[str, Any]:
        """The next message; `TimeoutError`, `Closed`."""
        deadline = time.monotonic() + seconds
        while True:
            while self._events:
                message = self._take(self._events.pop(0))
                if message is not None:
                    return message
            self._read(max(0.001, deadline - time.monotonic()))

    def seqs(self, count: int, seconds: float = HANG_SECONDS) -> list[int]:
        """The numbers of the next events."""
        return [int(self.receive(seconds)["seq"]) for _ in range(count)]

    def silent(self, seconds: float) -> bool:
        """Whether nothing comes for that long."""
        try:
            self.receive(seconds)
        except TimeoutError:
            return True
        return False

    def closed(self, seconds: float = HANG_SECONDS) -> Closed:
        """Read until the server closes."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                self.receive(deadline - time.monotonic())
            except Closed as end:
                self.close()
                return end

    def seqs_to_the_end(self) -> tuple[list[int], Closed]:
        """The numbers of all events until the server closes, and how it did."""
        seqs = list[int]()
        while True:
            try:
                seqs += self.seqs(1)
            except Closed as end:
                self.close()
                return seqs, end

    def send(self, message: Any) -> None:
        """A message: a str as it is, else as JSON."""
        text = message if isinstance(message, str) else json.dumps(message)
        self.socket.sendall(self._ws.send(TextMessage(data=text)))

    def close(self) -> None:
        """Go, without a word."""
        self.socket.close()

    def _handshake(self) -> bytes:
        data = b""
        while b"\r\n\r\n" not in data:
            more = self.socket.recv(4096)
            if not more:
                raise Refused(0, "no answer")
            data += more
        head, _, rest = data.partition(b"\r\n\r\n")
        status = int(head.split()[1])
        if status == 101:
            return rest
        length = next((int(x.split(b":")[1]) for x in head.split(b"\r\n") if x.lower().startswith(b"content-len")), 0)
        while len(rest) < length:
            rest += self.socket.recv(4096)
        self.socket.close()
        raise Refused(status, rest.decode())

    def _read(self, seconds: float) -> None:
        self.socket.settimeout(seconds)
        try:
            data = self.socket.recv(65536)
        except ConnectionError:
            data = b""
        finally:
            self.socket.settimeout(HANG_SECONDS)
        if not data:
            raise Closed(1006, "")
        self._ws.receive_data(data)
        self._events.extend(self._ws.events())

    def _take(self, event: Event) -> dict[str, Any] | None:
        match event:
            case TextMessage():
                self._text += event.data
                if event.message_finished:
                    message: dict[str, Any] = json.loads(self._text)
                    self._text = ""
                    return message
            case Ping():
                self.pings += 1
                if self._pongs and self._ws.state is ConnectionState.OPEN:
                    self.socket.sendall(self._ws.send(Pong(payload=event.payload)))
            case CloseConnection():
                raise Closed(event.code, event.reason or "")
        return None
