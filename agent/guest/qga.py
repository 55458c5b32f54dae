"""The QEMU guest agent's protocol: JSON lines, over a pair of named pipes `qga.in` and `qga.out`, or a vsock.

Pipes and no socket: an agent whose channel has nobody on the host's end sleeps 100 ms at a time (its
`channel_event_cb`), which would cost each command that long and each idle guest ten wake-ups a second. QEMU itself
holds both ends of a pipe open. https://qemu.readthedocs.io/en/v7.2.0/interop/qemu-ga-ref.html
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import secrets
import select
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from agent.guest import patience, vsock
from agent.guest.answers import (
    AgentForbids,
    AgentGone,
    AgentHungUp,
    AgentRefused,
    AgentRestarted,
    AgentSilent,
    refusal,
    understood,
)
from core.contract.errors import DriverFailure, GuestTimeout
from core.contract.texts import unsendable

__all__ = [
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
SENTINEL = b"\xff"
TICK_SECONDS = 0.25
MARK_SECONDS = 2.0
READ_BYTES = 256 * 1024
MOST_BYTES = 64 * 1024 * 1024
SLOWEST_BYTES = 256 * 1024  # a second; an emulated guest sends over twenty times that
Tick = Callable[[], None]


def make_channel(folder: Path) -> None:
    """Fresh pipes in a VM's folder, for a QEMU that is about to start."""
    for name in (IN, OUT):
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name, 0o600)


def ask(folder: Path, command: str, timeout: float, watch: Tick | None = None, /, **arguments: Any) -> Any:
    """One request and its answer; `AgentSilent` when the agent is silent for `timeout` seconds, or patience ends.

    `watch` is called four times a second while it is waited for, and may raise.
    """
    seconds = patience.at_most(timeout)
    with _Channel(folder, seconds) as channel:
        return channel.ask(command, arguments, seconds, watch)


def tell(folder: Path, command: str, timeout: float, **arguments: Any) -> None:
    """One request that is not answered, once the agent has shown that it listens; all within `timeout` seconds."""
    deadline = time.monotonic() + patience.at_most(timeout)
    with _Channel(folder, deadline - time.monotonic()) as channel:
        channel.ask("guest-ping", {}, deadline - time.monotonic())
        channel.send([_line(command, arguments)], deadline)


def wait(folder: Path, timeout: float, tick: Tick) -> None:
    """Returns as soon as the agent answers; calls `tick` four times a second, which may raise."""
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
        """
        exchange = _Exchange()
        self.send([exchange.mark(), _line(command, arguments)], time.monotonic() + silence)
        answer = self._receive(exchange, silence, tick)
        if "error" in answer:
            raise refusal(command, answer)
        return answer.get("return")

    def send(self, lines: list[bytes], deadline: float) -> None:
        """Writes all of it; a pipe that stays full means that the guest does not read."""
        left = memoryview(b"".join(lines))
        while left:
            if not select.select([], [self._in], [], max(0.0, deadline - time.monotonic()))[1]:
                raise AgentSilent("the guest agent takes no more requests: it hangs, or its guest does")
            try:
                left = left[os.write(self._in, left) :]
            except BlockingIOError:
                continue
            except (BrokenPipeError, ConnectionResetError):
                raise self._ended() from None

    def _receive(self, exchange: _Exchange, silence: float, tick: Tick | None) -> dict[str, Any]:
        """The answer. Bytes earn it the time that they take to send and no more: a trickle would have no end."""
        began = marked_at = time.monotonic()
        while (now := time.monotonic()) - began < silence + exchange.received / SLOWEST_BYTES:
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
            f"the guest agent did not answer within {silence:.0f} s: it hangs, or its guest does or is very slow"
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
            raise AgentSilent(f"the guest agent did not answer within {self._timeout:.0f} s: nobody listens") from None
        stream.setblocking(False)
        self._open.append(stream.detach())
        return self._open[-1]

    def _lock(self) -> None:
        """Ours until closed, also when this process is killed.

        Who waits for the lock holds the turn, and nobody goes for the lock without it: a transfer that asks again and
        again lets others in between.
        """
        deadline = time.monotonic() + self._timeout
        turn = self._descriptor(TURN, os.O_RDWR | os.O_CREAT)
        _flock(turn, deadline)
        _flock(self._descriptor(LOCK, os.O_RDWR | os.O_CREAT), deadline)
        fcntl.flock(turn, fcntl.LOCK_UN)

    def _descriptor(self, name: str, flags: int) -> int:
        descriptor = os.open(self._folder / name, flags | os.O_CLOEXEC, 0o600)
        self._open.append(descriptor)
        return descriptor

    def _close(self) -> None:
        while self._open:
            os.close(self._open.pop())


class _Exchange:
    """What is heard after a request. It was sent after the first of our markers, and before all others."""

    def __init__(self) -> None:
        self.received = 0
        self._markers: list[int] = []
        self._got = bytearray()
        self._heard_first = False

    def mark(self) -> bytes:
        """One more marker, to be sent."""
        self._markers.append(secrets.randbits(31))
        return SENTINEL + _line("guest-sync-delimited", {"id": self._markers[-1]})

    def take(self, some: bytes) -> dict[str, Any] | None:
        """The answer, once it is whole; `AgentRestarted` when there will be none."""
        self.received += len(some)
        if self.received > MOST_BYTES:
            raise AgentRefused(f"the guest agent's answer is over {MOST_BYTES} bytes")
        self._got += some
        while b"\n" in self._got[-len(some) :]:
            line, _, rest = bytes(self._got).partition(b"\n")
            self._got = bytearray(rest)
            _, sentinel, after = line.rpartition(SENTINEL)
            if not sentinel and self._heard_first:
                return _parsed(line)
            told = _parsed(after).get("return") if sentinel else None
            if told in self._markers[1:]:
                raise AgentRestarted("the guest agent was restarted before it answered: try again")
            self._heard_first |= told == self._markers[0]
        return None


def _flock(descriptor: int, deadline: float) -> None:
    pause = 0.001
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise AgentSilent("the guest agent is still busy with an earlier request, or hangs in it") from None
        time.sleep(pause)
        pause = min(2 * pause, 0.02)


def data(text: bytes) -> str:
    """Bytes as the agent takes them."""
    return base64.b64encode(text).decode()


def _line(command: str, arguments: dict[str, Any]) -> bytes:
    """Paths and the like; what commands are given is looked at before (agent/guest/commands.py)."""
    bad = next((found for each in arguments.values() if isinstance(each, str) and (found := unsendable(each))), None)
    if bad is not None:
        raise DriverFailure(f"the guest agent can't take text with the character {bad}", code="invalid_request")
    return json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n"


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(line)
    except ValueError:
        raise AgentRefused("the guest agent's answer is not JSON") from None
    if not isinstance(answer, dict):
        raise AgentRefused("the guest agent's answer is not an object")
    return answer
