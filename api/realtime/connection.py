"""One open WebSocket, from the handshake to the close frame: the common part of both dialects' sockets."""

from __future__ import annotations

import logging
import math
import random
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from flask import g
from simple_websocket import ConnectionClosed, Server
from wsproto.events import CloseConnection, Event
from wsproto.frame_protocol import CloseReason

from api.realtime.hub import Hub
from api.realtime.listener import Listener
from api.realtime.upgrade import MESSAGE_BYTES
from api.realtime.ws_transport import SlowReader, WsTransport
from api.web.context import api_context
from api.web.requests import source_ip
from core.contract.errors import CorralError, Forbidden, NotFound, TooMany, Unauthenticated, Unavailable
from core.services.context import Actor
from core.services.events import EventMessage

log = logging.getLogger(__name__)

NORMAL, FLOODED, BROKEN, RESTARTING, TRY_LATER = 1000, 1008, 1011, 1012, 1013
UNKNOWN_CALLER, NOT_ALLOWED, NOT_THERE, TOO_SLOW = 4401, 4403, 4404, 4008

FIRST_MESSAGE_SECONDS = 10.0
CHECK_SECONDS = 45.0  # so often is a credential looked at again: a revoked one ends its socket within a minute
LOOK_SECONDS = 3.0
_CHECK_AGAIN_SECONDS = 10.0
_LINGER_SECONDS = 1.0
_BURST, _BURST_SECONDS = 600, 10.0  # messages; a key that is held down on a console is 30 a second


class ConnectionEnded(Exception):
    """The connection is over, with that close code and for that reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


def ended_by(error: CorralError) -> ConnectionEnded:
    """The close code that says the same as an error."""
    match error:
        case Unauthenticated():
            return ConnectionEnded(UNKNOWN_CALLER, error.message)
        case Forbidden():
            return ConnectionEnded(NOT_ALLOWED, error.message)
        case NotFound():
            return ConnectionEnded(NOT_THERE, error.message)
        case Unavailable() | TooMany():
            return ConnectionEnded(TRY_LATER, error.message)
        case _:
            return ConnectionEnded(FLOODED, error.message)


class WsConnection:
    """`tell(note)` writes an event in the dialect's words, and may raise `ConnectionEnded` after the last."""

    def __init__(self, ws: Server, hub: Hub) -> None:
        self._ws, self._hub = ws, hub
        self._transport: WsTransport = ws.sock
        _say_how_big(ws)
        self.listener: Listener = g.listener
        self.listener.wake = ws.event.set
        self._seq = 0
        self._end: ConnectionEnded | None = None
        self._allowance, self._counted_at = float(_BURST), time.monotonic()

    def send(self, message: str | bytes) -> None:
        """One message, to a client that may be gone. Other threads may call it too."""
        try:
            self._ws.send(message)
        except SlowReader as error:
            self.end(
                ConnectionEnded(
                    TOO_SLOW, "you read more slowly than output arrives: connect again, and read it as it arrives"
                )
            )
            raise ConnectionClosed(TOO_SLOW, str(error)) from None
        except OSError as error:
            raise ConnectionClosed(BROKEN, str(error)) from None

    def first_message(self) -> str | bytes:
        """The message that says who calls; `ConnectionEnded` when it does not come in time."""
        deadline = time.monotonic() + FIRST_MESSAGE_SECONDS
        with api_context().strangers.one(source_ip()):
            while (left := deadline - time.monotonic()) > 0:
                for message in self._pause(left):
                    return message
        raise ConnectionEnded(UNKNOWN_CALLER, f"no auth message within {FIRST_MESSAGE_SECONDS:g} s")

    @property
    def why(self) -> ConnectionEnded | None:
        """Why it is to end, if it is."""
        return self._end

    def end(self, why: ConnectionEnded) -> None:
        """Have it end soon; any thread may say so."""
        self._end = why
        self._ws.event.set()

    def serve(
        self,
        tell: Callable[[EventMessage], None],
        answer: Callable[[str | bytes], None],
        authenticate: Callable[[], Actor],
        look_around: Callable[[], None] | None = None,
    ) -> None:
        """Pass events on, answer messages, and `look_around` now and then, until one side ends it."""
        check_at = time.monotonic() + CHECK_SECONDS * random.uniform(0.7, 1)
        look_at = time.monotonic() + LOOK_SECONDS if look_around else math.inf
        while True:
            self._pass_on(tell)
            for message in self._pause(min(check_at, look_at) - time.monotonic()):
                self._slow_down()
                answer(message)
            if look_around and time.monotonic() >= look_at:
                look_at = time.monotonic() + LOOK_SECONDS
                look_around()
            if time.monotonic() >= check_at:
                check_at = time.monotonic() + self._check(authenticate)

    def go_on(
        self,
        step: Callable[[], float],
        hear: Callable[[list[str | bytes]], None],
        authenticate: Callable[[], Actor],
    ) -> None:
        """Take one step after the other, each with a pause of as many seconds as it says, until one side ends it.

        What the client says ends a pause, and is heard before the next step.
        """
        check_at = time.monotonic() + CHECK_SECONDS * random.uniform(0.7, 1)
        while True:
            messages = self._pause(min(step(), check_at - time.monotonic()))
            for _ in messages:
                self._slow_down()
            if messages:
                hear(messages)
            if time.monotonic() >= check_at:
                check_at = time.monotonic() + self._check(authenticate)

    def pass_on(self, tell: Callable[[EventMessage], None], notes: Iterator[EventMessage]) -> None:
        """Write those events, as long as the socket may live."""
        for note in notes:
            self._look_up()
            tell(note)
            self._seq = note.seq

    def close(self, end: ConnectionEnded) -> None:
        """Say why, give the client a second to answer, and let go of the socket.

        The thread of simple-websocket must be gone before the socket's number may be used again.
        """
        self._transport.is_last = True
        self._ws.pong_received = True  # else its thread might close what is closed, and die of that
        try:
            self._ws.close(end.code, end.reason)
        except (ConnectionClosed, OSError):
            pass
        for how in (socket.SHUT_WR, socket.SHUT_RDWR):
            self._transport.shut(how)
            self._ws.thread.join(_LINGER_SECONDS)

    def _pass_on(self, tell: Callable[[EventMessage], None]) -> None:
        self.pass_on(tell, iter(self.listener.next, None))
        self._look_up()

    def _pause(self, seconds: float) -> list[str | bytes]:
        """Wait until something happens, for that long at most; the messages that have come."""
        self._ws.event.wait(max(0.0, seconds))
        self._ws.event.clear()
        self._look_up()
        messages = []
        while self._ws.input_buffer:
            messages.append(self._ws.receive(timeout=0))
        self._transport.taken()
        return messages

    def _look_up(self) -> None:
        """Whether it must end now."""
        if not self._ws.connected:
            raise ConnectionClosed(self._ws.close_reason, self._ws.close_message)
        after = f"; resume with after={self._seq}" if self._seq else ""
        if self._hub.draining:
            raise ConnectionEnded(RESTARTING, "the server is being restarted; connect again" + after)
        if self._end is not None:
            raise self._end
        if self.listener.is_cut:
            raise ConnectionEnded(TOO_SLOW, "you read events more slowly than they arrive" + after)

    def _slow_down(self) -> None:
        """Take messages as fast as they may come, and no faster: who sends more waits (ws_transport.py)."""
        now = time.monotonic()
        earned = (now - self._counted_at) * _BURST / _BURST_SECONDS
        self._allowance, self._counted_at = min(_BURST, self._allowance + earned) - 1, now
        if self._allowance < 0:
            time.sleep(-self._allowance * _BURST_SECONDS / _BURST)
            self._look_up()

    def _check(self, authenticate: Callable[[], Actor]) -> float:
        """Look at the credential again; how many seconds until the next time."""
        try:
            self.listener.actor = authenticate()
        except Unavailable:
            return _CHECK_AGAIN_SECONDS
        except (Unauthenticated, Forbidden) as error:
            raise ended_by(error) from None
        return CHECK_SECONDS


def _say_how_big(ws: Server) -> None:
    """simple-websocket closes for a message that is too big, and does not say how big one may be."""
    send = ws.ws.send

    def telling(event: Event) -> bytes:
        if isinstance(event, CloseConnection) and event.code == CloseReason.MESSAGE_TOO_BIG:
            event = CloseConnection(event.code, f"a message has at most {MESSAGE_BYTES} bytes: split it")
        return bytes(send(event))

    ws.ws.send = telling


@contextmanager
def ws_connection(ws: Server, hub: Hub) -> Iterator[WsConnection]:
    """A connection that is closed in the end, with the code that fits how it ended."""
    connection, end = WsConnection(ws, hub), ConnectionEnded(NORMAL, "")
    try:
        yield connection
    except ConnectionEnded as why:
        end = why
    except CorralError as error:
        end = ended_by(error)
    except ConnectionClosed:
        end = connection.why or end
    except Exception:
        log.exception("a socket failed unexpectedly")
        end = ConnectionEnded(BROKEN, "an unexpected error occurred")
    finally:
        connection.close(end)
