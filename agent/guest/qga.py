"""The QEMU guest agent's protocol: JSON lines, over a pair of named pipes `qga.in` and `qga.out`, or a vsock.

Pipes and no socket: an agent whose channel has nobody on the host's end sleeps 100 ms at a time (its
`channel_event_cb`), which would cost each command that long and each idle guest ten wake-ups a second. QEMU itself
holds both ends of a pipe open. https://qemu.readthedocs.io/en/v7.2.0/interop/qemu-ga-ref.html

An agent on a port loses the answer that it writes while its GLib still holds input that it has not taken: of a
character device that is a seek (giochannel.c, giounix.c), which a port refuses. It takes `PAGE_BYTES` at a time, and
GLib may have read on. So what is on its way to the agent must not end beyond a page: a request is sent once all before
it is answered, and a long one fills whole pages.
"""

from __future__ import annotations

import base64
import os
import select
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from agent.guest import patience, replies, vsock
from agent.guest.answers import (
    AgentForbids,
    AgentGone,
    AgentHungUp,
    AgentRefused,
    AgentRestarted,
    AgentSilent,
    understood,
)
from agent.guest.exchanges import SENTINEL, Exchange, Greeting, line_of
from core import filelocks
from core.contract.errors import DriverFailure, GuestTimeout

__all__ = [
    "SENTINEL",
    "AgentForbids",
    "AgentGone",
    "AgentHungUp",
    "AgentRefused",
    "AgentRestarted",
    "AgentSilent",
    "ask",
    "data",
    "make_channel",
    "tell",
    "understood",
    "wait",
]
IN, OUT, LOCK, TURN = "qga.in", "qga.out", "qga.lock", "qga.turn"
IN_STEP, OUT_OF_STEP = b"=", b"?"
TICK_SECONDS = 0.25
MARK_SECONDS = 2.0
READ_BYTES = 256 * 1024
PAGE_BYTES, SHORT_BYTES = 4096, 2048  # what is short leaves room in a page for the markers that may follow it
SLOWEST_BYTES = 256 * 1024  # a second; an emulated guest sends over twenty times that
Tick = Callable[[], None]


def make_channel(folder: Path) -> None:
    """Fresh pipes in a VM's folder, for a QEMU that is about to start."""
    for name in (IN, OUT):
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name, 0o600)
    (folder / LOCK).write_bytes(b"")  # a guest that resumes may have been in the middle of something


def ask(folder: Path, command: str, timeout: float, watch: Tick | None = None, /, **arguments: Any) -> Any:
    """One request and its answer, of the type that replies.py has for it; None where nobody reads it.

    `AgentSilent` when the agent is silent for `timeout` seconds, or patience ends.

    `watch` is called four times a second while it is waited for, and may raise.
    """
    seconds = patience.at_most(timeout)
    with _Channel(folder, seconds) as channel:
        return channel.ask(command, arguments, seconds, watch)


def tell(folder: Path, command: str, timeout: float, **arguments: Any) -> None:
    """One request that is not answered, once the agent has shown that it listens; all within `timeout` seconds."""
    deadline = time.monotonic() + patience.at_most(timeout)
    with patience.ends_in(timeout), _Channel(folder, deadline - time.monotonic()) as channel:
        channel.ask("guest-ping", {}, deadline - time.monotonic())
        channel.send([line_of(command, arguments)], deadline)


def wait(folder: Path, timeout: float, tick: Tick) -> None:
    """Returns as soon as the agent answers, whatever that is; calls `tick` four times a second, which may raise."""
    deadline = time.monotonic() + timeout
    while True:
        left = deadline - time.monotonic()
        try:
            with _Channel(folder, left, tick) as channel:
                channel.ask("guest-ping", {}, left, tick)
                return
        except AgentHungUp:
            if time.monotonic() >= deadline:
                raise
            tick()
            time.sleep(TICK_SECONDS)
        except AgentRestarted:
            return  # our bytes were dropped before it listened, and now it does
        except (AgentRefused, AgentForbids):
            return  # it is there, and what it says is the matter of who asks it something


class _Channel:
    """The channel of one VM, for one caller at a time, whichever thread or process asks."""

    def __init__(self, folder: Path, timeout: float, tick: Tick | None = None) -> None:
        self._folder, self._timeout, self._tick = folder, timeout, tick

    def __enter__(self) -> _Channel:
        self._open: list[int] = []
        try:
            self._lock()
            self._by_vsock = (self._folder / vsock.SOCKET).exists()
            if self._by_vsock:
                self._in = self._out = self._connect()
            else:
                self._in = self._descriptor(IN, os.O_WRONLY | os.O_NONBLOCK)
                self._out = self._descriptor(OUT, os.O_RDONLY | os.O_NONBLOCK)
        except OSError:  # ENXIO: no reader, so no QEMU; ENOENT: it was never started, or deleted
            self._close()
            raise AgentGone("the VM is not running") from None
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._close()

    def ask(self, command: str, arguments: dict[str, Any], silence: float, tick: Tick | None = None) -> Any:
        """The answer to one request; `silence` is how long the agent may say nothing, in seconds.

        A marker goes before the request in the same write: what an earlier, broken exchange left is skipped up to it.
        More of them go after it while nothing is heard: an agent that answers those alone has never seen the request.
        After an exchange that was broken, or had more of them, a marker alone finds out when all of it is read.
        """
        until = time.monotonic() + silence
        if not self._is_in_step():
            self._converse(Greeting(), b"", until, tick)
        return replies.read(command, self._converse(Exchange(command), line_of(command, arguments), until, tick))

    def _converse(self, exchange: Exchange, request: bytes, until: float, tick: Tick | None) -> bytes:
        text = exchange.mark() + request
        if len(text) > SHORT_BYTES and not self._by_vsock:
            text = text[:-1] + b" " * (-len(text) % PAGE_BYTES) + b"\n"
        self.send([text], until)
        answer = self._receive(exchange, max(0.0, until - time.monotonic()), tick)
        if exchange.all_is_heard:
            self._note(IN_STEP)
        return answer

    def _note(self, state: bytes) -> None:
        with suppress(OSError):  # a full disk; what is not noted costs a marker
            os.pwrite(self._state, state, 0)

    def _is_in_step(self) -> bool:
        """Whether the agent has answered all that was ever sent, as the last who had the channel has noted."""
        return os.pread(self._state, 1, 0) == IN_STEP

    def send(self, lines: list[bytes], deadline: float) -> None:
        """Writes all of it; a pipe that stays full means that the guest does not read."""
        self._note(OUT_OF_STEP)
        left = memoryview(b"".join(lines))
        while left:
            if not select.select([], [self._in], [], max(0.0, deadline - time.monotonic()))[1]:
                raise AgentSilent("the guest agent accepts no more requests: it or its guest hangs")
            try:
                left = left[os.write(self._in, left) :]
            except BlockingIOError:
                continue
            except (BrokenPipeError, ConnectionResetError):
                raise self._ended() from None

    def _receive(self, exchange: Exchange, silence: float, tick: Tick | None) -> bytes:
        """The answer. Bytes of one that has many earn it the time that they take to send and no more, and none beyond
        all patience: a trickle would have no end."""
        began = marked_at = time.monotonic()
        while (now := time.monotonic()) - began < silence + exchange.data_bytes / SLOWEST_BYTES and patience.lasts():
            if tick is not None:
                tick()
            if select.select([self._out], [], [], min(TICK_SECONDS, silence))[0]:
                marked_at = now
                if (answer := exchange.take(self._read())) is not None:
                    return answer
            elif now - marked_at > MARK_SECONDS:
                marked_at = now
                with suppress(GuestTimeout):  # the pipe is full of what it has not read yet
                    self.send([exchange.mark()], now)
        raise AgentSilent(
            f"the guest agent did not answer within {silence:.0f} s: it or its guest hangs or is very slow"
        )

    def _read(self) -> bytes:
        try:
            some = os.read(self._out, READ_BYTES)
        except BlockingIOError:
            return b""
        except ConnectionResetError:
            some = b""
        if not some:
            raise self._ended()
        return some

    def _ended(self) -> DriverFailure:
        """A pipe ends with the VM; a vsock also with the agent, and who asks again will see."""
        if self._by_vsock:
            return AgentHungUp("the guest agent closed the connection before it answered: try again")
        return AgentGone("the VM stopped while its guest agent was asked")

    def _connect(self) -> int:
        """As soon as somebody listens there."""
        try:
            stream = vsock.reach(self._folder, self._timeout, self._tick)
        except vsock.NotListening:
            raise AgentSilent(
                f"the guest agent did not answer within {self._timeout:.0f} s: is it running in the guest?"
            ) from None
        stream.setblocking(False)
        self._open.append(stream.detach())
        return self._open[-1]

    def _lock(self) -> None:
        """Ours until closed, also when this process is killed.

        Who waits for the lock holds the turn, and nobody goes for the lock without it: a transfer that asks again and
        again lets others in between.
        """
        deadline = time.monotonic() + self._timeout
        try:
            with filelocks.locked(self._folder / TURN, wait=self._timeout):
                self._state = filelocks.take(self._folder / LOCK, wait=deadline - time.monotonic())
        except BlockingIOError:
            raise AgentSilent("the guest agent is still busy with an earlier request, or hangs") from None
        self._open.append(self._state)

    def _descriptor(self, name: str, flags: int) -> int:
        descriptor = os.open(self._folder / name, flags | os.O_CLOEXEC, 0o600)
        self._open.append(descriptor)
        return descriptor

    def _close(self) -> None:
        while self._open:
            os.close(self._open.pop())


def data(text: bytes) -> str:
    """Bytes as the agent takes them."""
    return base64.b64encode(text).decode()
