"""A VM's serial console for one socket: kept open across restarts of the VM's agent."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import Protocol

from simple_websocket import ConnectionClosed

from core.contract.errors import Conflict, CorralError, NotFound, Unavailable
from core.contract.messages import JSON, VmSpec
from core.contract.openings import ConsoleOpened
from core.streams import Stream

log = logging.getLogger(__name__)

PIECE_BYTES = 16 * 1024  # of what a viewer is given at once: less than a slow one's line holds (ws_transport.py)
_ANSWER_SECONDS = 10.0
_AWAY_SECONDS = 60.0
_RETRY_SECONDS = 0.5


class Viewer(Protocol):
    """Who looks at a console; called by the console's own thread. Once it is gone it raises ConnectionClosed."""

    def connected(self, *, writable: bool) -> None:
        """At first, and again when only then somebody else has left the keyboard, or taken it."""

    def output(self, data: bytes) -> None:
        """Some of what the console put out."""

    def disconnected(self, error: CorralError) -> None:
        """There will be no more, and why."""


class Streaming(Protocol):
    """The functions of the hub that a console needs."""

    def stream(self, host: str, verb: str, vm: VmSpec | None, params: JSON, timeout: float) -> Stream: ...


@dataclass(frozen=True)
class Which:
    """A console, and whether its viewer would type, and would first see the last 64 KiB."""

    host: str
    vm: VmSpec
    write: bool = False
    replay: bool = True


class ConsoleSession:
    """One console and its viewer. `start` returns at once; `close` it in the end."""

    def __init__(self, hub: Streaming, which: Which, viewer: Viewer) -> None:
        self.which = which
        self._hub, self._viewer = hub, viewer
        self._stream: Stream | None = None
        self._place: JSON | None = None
        self._writable: bool | None = None
        self._opened = threading.Event()  # at first, or that it never will be
        self._lock = threading.Lock()
        self._closed = False

    def start(self) -> None:
        """Show it as it comes."""
        threading.Thread(target=self._run, name="console", daemon=True).start()

    def type(self, data: bytes) -> None:
        """Type on it; `Conflict` when somebody else does, `Unavailable` while its host is away.

        What is typed before it is open waits until it is.
        """
        self._opened.wait(_ANSWER_SECONDS)
        stream = self._stream
        if self._writable is False:
            why = (
                "another client is typing on it, or it accepts no input"
                if self.which.write
                else "it was opened as read-only"
            )
            raise Conflict(
                f"the console of VM '{self.which.vm.name}' is read-only: {why}",
                code="console_read_only",
                reason="held_or_no_input" if self.which.write else "requested",
            )
        if stream is None:
            raise Unavailable(f"the console of VM '{self.which.vm.name}' is not connected now; try again")
        stream.write(data)

    def close(self) -> None:
        """Leave it; one that is about to open finds that, and leaves its stream."""
        with self._lock:
            self._closed, stream = True, self._stream
        self._opened.set()
        if stream is not None:
            stream.close()

    def _run(self) -> None:
        try:
            self._keep_up()
        except ConnectionClosed:
            return  # the viewer is gone, and closes what is left
        except Exception:  # the outermost handler of this thread
            log.exception("a console failed unexpectedly")
            self._last_word(CorralError("the console failed unexpectedly; connect again", code="internal_error"))
        finally:
            self._opened.set()

    def _keep_up(self) -> None:
        away_since = time.monotonic()
        while not self._closed:
            try:
                self._open()
                try:
                    reason = self._pass_on()
                finally:
                    away_since = time.monotonic()  # however long it had been open
                self._last_word(NotFound(reason, code="vm_not_found"))
                return
            except Unavailable as error:
                if self._closed or self._place is None or time.monotonic() - away_since > _AWAY_SECONDS:
                    self._last_word(error)
                    return
                time.sleep(_RETRY_SECONDS)
            except CorralError as error:
                self._last_word(error)
                return
            finally:
                self._leave()

    def _open(self) -> None:
        params: JSON = {"write": self.which.write, "replay": self.which.replay, "after": self._place}
        stream = self._hub.stream(self.which.host, "console", self.which.vm, params, _ANSWER_SECONDS)
        with self._lock:
            self._stream = stream
            if self._closed:
                raise Unavailable("the console was closed while it was being opened")
        found = stream.opening(ConsoleOpened)
        if found is None:
            raise Unavailable("the host closed the console before it opened; try again")
        self._place = {"log": found.log, "position": found.position}
        if self._writable != found.writable:
            self._writable = found.writable
            self._viewer.connected(writable=self._writable)
        self._opened.set()

    def _pass_on(self) -> str:
        """Until the stream ends; why it did."""
        stream = self._stream
        if stream is None or self._place is None:
            return ""
        for data in stream.chunks():
            for start in range(0, len(data), PIECE_BYTES):
                self._viewer.output(data[start : start + PIECE_BYTES])
            self._place["position"] += len(data)
        return str(stream.last_word.get("reason", "the console has ended"))

    def _leave(self) -> None:
        with self._lock:
            stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    def _last_word(self, error: CorralError) -> None:
        if not self._closed:
            self._viewer.disconnected(error)
