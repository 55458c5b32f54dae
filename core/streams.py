"""Streams: bytes between an API process and an agent, in both directions at once, with a short window.

A stream is two pub/sub channels (`channels.stream`), so that nothing of it is ever kept in Redis or in its log, and
nothing is left when both ends die. The API subscribes, then a call names the stream; the agent subscribes before it
replies. A frame is a kind, a number and a body. An end sends at most `WINDOW` data frames beyond those that the other
says it has taken, which bounds memory on both sides and in Redis. It lives at most once: a frame that is lost, an end
that is gone or mute, and the stream has failed.
"""

from __future__ import annotations

import json
import logging
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

from core.contract.errors import CorralError, Invalid, Unavailable
from core.contract.messages import JSON, Failure, decode, encode

log = logging.getLogger(__name__)
T = TypeVar("T")

CHUNK_BYTES = 256 * 1024
WINDOW = 4
PING_SECONDS = 2.0
LOOK_SECONDS = 0.5  # how long an end that was closed may go on listening
MUTE_SECONDS = 15.0
STALL_SECONDS = 60.0  # how long an end may take nothing of what the other has for it, though it pings

_HEAD = struct.Struct(">cQ")
DATA = b"d"  # number: 1, 2, 3 ...
TAKEN = b"t"  # number: how many data frames the sender has taken in
END = b"e"  # number: how many data frames there were; body: a last word as JSON
FAILED = b"f"  # body: a Failure
PING = b"p"


class FrameChannel(Protocol):
    """The functions of Redis that a stream needs; each method raises `Unavailable` when Redis is gone."""

    def send(self, frame: bytes) -> bool:
        """Whether the other end heard it."""

    def receive(self, seconds: float) -> bytes | None:
        """The next frame, within that time."""

    def close(self) -> None:
        """Leave; called once, when nothing is received any more."""


class Stream:
    """One end of a stream. `write` and `read` may be used by two threads at once, one for each.

    Both raise the error that ended the stream: what the other end says by `fail` (turned into an error by
    `error_of`), or `Unavailable` when it is gone, mute for `MUTE_SECONDS`, or Redis is.
    """

    def __init__(self, channel: FrameChannel, error_of: Callable[[Failure], CorralError]) -> None:
        self._channel, self._error_of = channel, error_of
        self._changed = threading.Condition()
        self._inbox: deque[bytes] = deque()
        self._sent = self._arrived = self._taken = 0
        self._granted = WINDOW
        self._word: JSON | None = None
        self._error: CorralError | None = None
        self._met = self._alone = self._ended = self._closed = False
        threading.Thread(target=self._listen, name="stream", daemon=True).start()

    def greet(self) -> None:
        """Let the other end know that this one is here; from its first frame on an end must not be gone or mute."""
        self._send(PING, 0)

    def write(self, data: bytes) -> None:
        """Send all of it, as fast as the other end takes it."""
        view = memoryview(data)
        for start in range(0, len(view), CHUNK_BYTES):
            with self._changed:
                moved = lambda: self._error is not None or self._sent < self._granted  # noqa: E731
                if not self._changed.wait_for(moved, STALL_SECONDS):
                    self._error = Unavailable(f"the other end of the stream read nothing for {STALL_SECONDS:.0f} s")
                    self._changed.notify_all()
                self._check()
                self._sent += 1
            self._send(DATA, self._sent, bytes(view[start : start + CHUNK_BYTES]))

    def read(self, patience: float | None = None) -> bytes | None:
        """The next piece; None once the other end has ended. `Unavailable` after so many seconds without either."""
        with self._changed:
            come = lambda: bool(self._inbox) or self._error is not None or self._word is not None  # noqa: E731
            if not self._changed.wait_for(come, patience):
                self._error = Unavailable(f"no data on the stream for {patience:.0f} s")
                self._changed.notify_all()
            if not self._inbox or self._error is not None:
                self._check()
                return None
            data = self._inbox.popleft()
            self._taken += 1
        self._send(TAKEN, self._taken)
        return data

    def opening(self, kind: type[T]) -> T | None:
        """The first piece, as a value of that kind; None when the other end has ended without. `Unavailable` for any
        other: an end that says such a thing is of another release, or not what it says that it is."""
        text = self.read()
        try:
            return None if text is None else decode(kind, text)
        except Invalid as error:
            raise Unavailable(
                f"the other end of the stream sent an unreadable first message: {error.message}"
            ) from None

    def chunks(self, patience: float | None = None) -> Iterator[bytes]:
        """All that comes until the other end has ended; `patience` as for `read`."""
        while (data := self.read(patience)) is not None:
            yield data

    @property
    def last_word(self) -> JSON:
        """What the other end said with its `end`; `Invalid` before that."""
        if self._word is None:
            raise Invalid("the stream has not ended yet")
        return self._word

    def end(self, word: JSON | None = None) -> None:
        """Nothing more comes from this end."""
        self._ended = True
        self._send(END, self._sent, json.dumps(word or {}).encode())

    def fail(self, failure: Failure) -> None:
        """Tell the other end why there will be no more; nothing happens if it is gone."""
        self._ended = True
        try:
            self._channel.send(_frame(FAILED, 0, encode(failure).encode()))
        except Unavailable:
            pass  # it will find out by itself

    def close(self) -> None:
        """Leave. An end that still waits for this one is told."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
        if not self._ended:
            self.fail(Failure("service_unavailable", "the other end of the stream has left", retryable=True))
        self._break(Unavailable("the stream is closed"))

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _send(self, kind: bytes, number: int, body: bytes = b"") -> None:
        if not self._channel.send(_frame(kind, number, body)):
            self._alone = True

    def _break(self, error: CorralError) -> None:
        with self._changed:
            self._error = self._error or error
            self._changed.notify_all()

    def _listen(self) -> None:
        """The stream's own thread: takes frames in, and looks whether the other end is still there."""
        heard_at = pinged_at = time.monotonic()
        try:
            while not self._closed and self._error is None:
                frame = self._channel.receive(LOOK_SECONDS)
                now = time.monotonic()
                if frame is not None:
                    heard_at = now
                    self._take(frame)
                elif self._alone and self._word is None:  # and all that it said before it went has been taken in
                    raise Unavailable("the other end of the stream is gone")
                if self._met and now - pinged_at >= PING_SECONDS:
                    pinged_at = now
                    self._send(PING, 0)
                if now - heard_at > MUTE_SECONDS and self._word is None:
                    raise Unavailable(f"no data or ping from the other end of the stream for {MUTE_SECONDS:.0f} s")
        except CorralError as error:
            self._break(error)
        except Exception:  # the outermost handler of this thread: nobody must wait for it for ever
            log.exception("a stream failed unexpectedly")
            self._break(Unavailable("the stream failed unexpectedly; try again"))
        finally:
            self._channel.close()

    def _take(self, frame: bytes) -> None:
        kind, number, body = _parsed(frame)
        with self._changed:
            self._met = True
            if kind == DATA:
                self._arrived += 1
                if number != self._arrived or self._arrived - self._taken > WINDOW:
                    raise Unavailable("part of the stream was lost")
                self._inbox.append(body)
            elif kind == TAKEN:
                self._granted = max(self._granted, number + WINDOW)
            elif kind == END:
                if number != self._arrived:
                    raise Unavailable("part of the stream was lost")
                self._word = _json(body)
            elif kind == FAILED:
                self._error = self._error or self._error_of(decode(Failure, body))
            self._changed.notify_all()


def _frame(kind: bytes, number: int, body: bytes) -> bytes:
    return _HEAD.pack(kind, number) + body


def _parsed(frame: bytes) -> tuple[bytes, int, bytes]:
    if len(frame) < _HEAD.size:
        raise Invalid("a frame of a stream was cut off")
    kind, number = _HEAD.unpack_from(frame)
    return kind, number, frame[_HEAD.size :]


def _json(body: bytes) -> JSON:
    try:
        word = json.loads(body)
    except (ValueError, RecursionError):
        raise Invalid("the end of the stream is not JSON") from None
    if not isinstance(word, dict):
        raise Invalid("the end of the stream is not a JSON object")
    return word
