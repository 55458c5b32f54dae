"""Serial consoles: one writer, and any number of readers, who get the log and what follows.

Readers follow the log that the driver keeps, so that none of them slows the guest or another, and a VM that restarts
goes on in the same place. The first piece of a stream is a `ConsoleOpened`; all others are the console's bytes, as they
are. `position` is that of the first byte; with it, and the number of bytes taken since, a reader whose agent was
restarted goes on where it was.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from agent.calls.streams import AgentStreams
from agent.drivers.base import Console
from agent.drivers.registry import Drivers
from agent.system import sockets
from core.contract.calls import ConsolePosition
from core.contract.errors import CorralError
from core.contract.messages import VmSpec, encode
from core.contract.openings import ConsoleOpened
from core.streams import CHUNK_BYTES, Stream

log = logging.getLogger(__name__)

REPLAY_BYTES = 64 * 1024
LOOK_SECONDS = 0.03
THERE_SECONDS = 2.0
TYPE_SECONDS = 5.0


class Consoles:
    """The consoles of one host, and who may type on which."""

    def __init__(self, drivers: Drivers, streams: AgentStreams) -> None:
        self._drivers, self._streams = drivers, streams
        self._lock = threading.Lock()
        self._writers: dict[str, str] = {}

    def connect(self, vm: VmSpec, stream_id: str, *, write: bool, replay: bool, after: ConsolePosition | None) -> None:
        """Serves the VM's console on that stream: from `after` if that is still known, else from 64 KiB back or now."""
        console = self._drivers.get(vm.hypervisor).console(vm.id)
        writable = write and console.socket is not None and self._take(vm.id, stream_id)
        work = partial(self._serve, vm.id, console, _LogFollower(console.log, after, replay), stream_id, writable)
        try:
            self._streams.serve(stream_id, vm.owner, work)
        except BaseException:
            self._leave(vm.id, stream_id)
            raise

    def _take(self, vm_id: str, stream_id: str) -> bool:
        with self._lock:
            return self._writers.setdefault(vm_id, stream_id) == stream_id

    def _leave(self, vm_id: str, stream_id: str) -> None:
        with self._lock:
            if self._writers.get(vm_id) == stream_id:
                del self._writers[vm_id]

    def _serve(
        self, vm_id: str, console: Console, follower: _LogFollower, stream_id: str, writable: bool, stream: Stream
    ) -> None:
        try:
            stream.write(encode(ConsoleOpened(writable, follower.place.log, follower.place.position)).encode())
            typist = _Typist(stream, console.socket if writable else None)
            typist.start()
            there_at = time.monotonic()
            while not typist.gone.is_set():
                if data := follower.read():
                    stream.write(data)
                    continue
                if time.monotonic() - there_at > THERE_SECONDS:
                    there_at = time.monotonic()
                    if not console.log.parent.exists():
                        stream.end({"reason": "the VM is gone"})
                        return
                typist.gone.wait(LOOK_SECONDS)
        finally:
            self._leave(vm_id, stream_id)


class _LogFollower:
    """Reads a log that grows, is cut when it has grown long, and may not be there yet."""

    def __init__(self, path: Path, after: ConsolePosition | None, replay: bool) -> None:
        self._path = path
        name, size = self._look()
        known = after is not None and after.log == name and 0 <= after.position <= size
        self._waiting = _tail(path, size) if replay and not known else b""
        self._position = after.position if after is not None and known else size
        self.place = ConsolePosition(name, self._position - len(self._waiting))

    def read(self) -> bytes:
        """What has come since; nothing, if nothing has."""
        if self._waiting:
            data, self._waiting = self._waiting, b""
            return data
        _, size = self._look()
        if size < self._position:
            self._position = 0  # it was cut: what is there now is all new
        if size == self._position:
            return b""
        with self._path.open("rb") as file:
            file.seek(self._position)
            data = file.read(CHUNK_BYTES)
        self._position += len(data)
        return data

    def _look(self) -> tuple[str, int]:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return "", 0
        return str(found.st_ino), found.st_size


def _tail(path: Path, size: int) -> bytes:
    """The last 64 KiB before that size, some of it perhaps from the part that was cut off."""
    data = _end(path, size, REPLAY_BYTES)
    if len(data) < REPLAY_BYTES:
        before = path.with_name(f"{path.name}.1")
        missing = REPLAY_BYTES - len(data)
        data = (_end(before, before.stat().st_size, missing) if before.exists() else b"") + data
    return data


def _end(path: Path, size: int, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(max(0, size - most))
            return file.read(min(size, most))
    except FileNotFoundError:
        return b""


@dataclass
class _Typist:
    """Takes what comes on the stream and types it, if there is a socket to; `gone` once the other end has left."""

    stream: Stream
    socket: Path | None
    gone: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        """In a thread of its own, as the stream's writer waits for its reader."""
        threading.Thread(target=self._run, name="console", daemon=True).start()

    def _run(self) -> None:
        try:
            if self.socket is None:
                for _ in self.stream.chunks():
                    pass
            else:
                with _Keyboard(self.socket).plugged() as keyboard:
                    for data in self.stream.chunks():
                        keyboard.type(data)
        except CorralError as error:
            log.info("a console's client has disconnected: %s", error.message[:200])
        except Exception:  # the outermost handler of this thread
            log.exception("typing on a console failed unexpectedly")
        finally:
            self.gone.set()


class _Keyboard:
    """A connection to the console's socket, made anew when the VM was restarted meanwhile.

    What is put out comes there too and is thrown away: QEMU would wait for a reader who does not read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._line: socket.socket | None = None

    @contextmanager
    def plugged(self) -> Iterator[_Keyboard]:
        """Connected when first used; unplugged in the end."""
        try:
            yield self
        finally:
            self._unplug()

    def type(self, data: bytes) -> None:
        """Typed, or lost: as on any serial line with no machine at its end, or one that does not read."""
        for _ in range(2):
            try:
                line = self._line or self._plug()
                line.sendall(data)
                return
            except TimeoutError:
                return  # some of it may have been typed: it must not come twice
            except OSError:
                self._unplug()

    def _plug(self) -> socket.socket:
        self._line = line = sockets.connect(self._path, TYPE_SECONDS)
        threading.Thread(target=_discard, args=[line], name="console-discard", daemon=True).start()
        return line

    def _unplug(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            try:
                line.shutdown(socket.SHUT_RDWR)  # wakes the thread that reads
            except OSError:
                pass  # the other end was quicker
            line.close()


def _discard(line: socket.socket) -> None:
    with line.dup() as reader:
        while True:
            try:
                if not reader.recv(65536):
                    return
            except TimeoutError:
                continue  # nothing was put out
            except OSError:
                return
