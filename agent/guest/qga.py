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

from agent.guest import vsock
from core.contract.errors import DriverFailure, GuestTimeout

IN, OUT, LOCK, TURN = "qga.in", "qga.out", "qga.lock", "qga.turn"
SENTINEL = b"\xff"
TICK_SECONDS = 0.25
MARK_SECONDS = 2.0
READ_BYTES = 256 * 1024
MOST_BYTES = 64 * 1024 * 1024
SLOWEST_BYTES = 256 * 1024  # a second; an emulated guest sends over twenty times that
Tick = Callable[[], None]


class AgentRefused(DriverFailure):
    """The guest agent answered with an error."""

    code = "guest_refused"


class AgentRestarted(GuestTimeout):
    """It answers, but not what it was asked: that went to one before it. Nobody knows whether that one did it."""


class AgentHungUp(AgentRestarted):
    """It ended the connection, as it does when it is started anew, or its guest is."""


class AgentGone(DriverFailure):
    """Nobody holds the VM's end of the channel: the VM does not run, or no longer."""

    code = "vm_not_running"


def make_channel(folder: Path) -> None:
    """Fresh pipes in a VM's folder, for a QEMU that is about to start."""
    for name in (IN, OUT):
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name, 0o600)


def ask(folder: Path, command: str, timeout: float, **arguments: Any) -> Any:
    """One request and its answer; `GuestTimeout` when the agent is silent for `timeout` seconds."""
    with _Channel(folder, timeout) as channel:
        return channel.ask(command, arguments, timeout)


def tell(folder: Path, command: str, timeout: float, **arguments: Any) -> None:
    """One request that is not answered, once the agent has shown that it listens."""
    with _Channel(folder, timeout) as channel:
        channel.ask("guest-ping", {}, timeout)
        channel.send([_line(command, arguments)], time.monotonic() + timeout)


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
            said = answer["error"].get("desc", "no reason given")
            raise AgentRefused(f"the guest agent refused '{command}': {said}")
        return answer.get("return")

    def send(self, lines: list[bytes], deadline: float) -> None:
        """Writes all of it; a pipe that stays full means that the guest does not read."""
        left = memoryview(b"".join(lines))
        while left:
            if not select.select([], [self._in], [], max(0.0, deadline - time.monotonic()))[1]:
                raise GuestTimeout("the guest agent takes no more requests")
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
        raise GuestTimeout(f"the guest agent did not answer within {silence:.0f} s")

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
            return AgentHungUp("the guest agent hung up before it had answered: try again")
        return AgentGone("the VM stopped while its guest agent was asked")

    def _connect(self) -> int:
        """As soon as somebody listens there."""
        try:
            stream = vsock.reach(self._folder, self._timeout, self._tick)
        except vsock.NotListening:
            raise GuestTimeout(f"the guest agent did not answer within {self._timeout:.0f} s: nobody listens") from None
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
            raise DriverFailure(f"the guest agent's answer is over {MOST_BYTES} bytes")
        self._got += some
        while b"\n" in self._got[-len(some) :]:
            line, _, rest = bytes(self._got).partition(b"\n")
            self._got = bytearray(rest)
            _, sentinel, after = line.rpartition(SENTINEL)
            if not sentinel and self._heard_first:
                return _parsed(line)
            told = _parsed(after).get("return") if sentinel else None
            if told in self._markers[1:]:
                raise AgentRestarted("the guest agent was started anew before it had answered: try again")
            self._heard_first |= told == self._markers[0]
        return None


def _flock(descriptor: int, deadline: float) -> None:
    pause = 0.001
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise GuestTimeout("the guest agent is busy with another request") from None
        time.sleep(pause)
        pause = min(2 * pause, 0.02)


def data(text: bytes) -> str:
    """Bytes as the agent takes them."""
    return base64.b64encode(text).decode()


def _line(command: str, arguments: dict[str, Any]) -> bytes:
    return json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n"


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(line)
    except ValueError:
        raise DriverFailure("the guest agent's answer is not JSON") from None
    if not isinstance(answer, dict):
        raise DriverFailure("the guest agent's answer is not an object")
    return answer
