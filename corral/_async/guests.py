"""Inside guests: commands, files and the serial console."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Any

import msgspec
import websockets

from corral._async.sockets import open_socket
from corral._async.terminals import AsyncTerminal
from corral._async.transport import AsyncTransport
from corral._http import ATTEMPTS, HELD_SECONDS, CountedFile, given, pause, segment, value
from corral.errors import CorralError, Unreachable, WaitTimeout
from corral.models import ExecResult, Execution
from corral.outputs import FileEntry, Output, OutputPart

Entries = list[FileEntry]
Size = tuple[int, int]

_PIECE = 1024 * 1024
_BEYOND_SECONDS = 60.0  # what an answer may take beyond the command itself


class AsyncCommands:
    """Commands in guests: `run` waits for the end; `begin` lets one run on, whatever becomes of the caller."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def run(
        self,
        vm: str,
        command: str,
        *,
        timeout: int = 30,
        stdin: str | None = None,
        environment: dict[str, str] | None = None,
        working_directory: str | None = None,
        encoding: str | None = None,
    ) -> ExecResult:
        """Run one in the guest's shell. Past the timeout (seconds) it is killed: `GuestTimeout`."""
        body = given(
            command=command,
            timeout_seconds=timeout,
            stdin=stdin,
            environment=environment,
            working_directory=working_directory,
            encoding=encoding,
        )
        response = await self._transport.send(
            "POST", f"/vms/{segment(vm)}/execute", json=body, timeout=timeout + _BEYOND_SECONDS
        )
        return value(ExecResult, response.json())

    async def begin(
        self,
        vm: str,
        command: str,
        *,
        name: str | None = None,
        timeout: int | None = None,
        stdin: str | None = None,
        environment: dict[str, str] | None = None,
        working_directory: str | None = None,
        encoding: str | None = None,
        tty: Size | None = None,
    ) -> Execution:
        """Begin one; without a timeout it may run for ever. `tty`: rows and columns of a terminal for it."""
        body = given(
            command=command,
            name=name,
            timeout_seconds=timeout,
            stdin=stdin,
            environment=environment,
            working_directory=working_directory,
            encoding=encoding,
            tty=None if tty is None else {"rows": tty[0], "columns": tty[1]},
        )
        return value(Execution, await self._transport.json("POST", f"/vms/{segment(vm)}/execs", body))

    def list(self, vm: str, *, state: str | None = None, limit: int | None = None) -> AsyncIterator[Execution]:
        """Those that run, and the newest that ended."""
        return self._transport.pages(f"/vms/{segment(vm)}/execs", "execs", Execution, limit, state=state)

    async def get(self, vm: str, exec_id: str) -> Execution:
        """One of them."""
        return value(Execution, await self._transport.json("GET", _exec(vm, exec_id)))

    async def output(self, vm: str, exec_id: str, *, offsets: dict[str, int] | None = None) -> AsyncIterator[Output]:
        """All that it wrote and writes, as it comes, until it ends; goes on by itself when a connection breaks.

        `offsets` says from which byte of "stdout" and "stderr" on, and is kept up to date.
        """
        offsets = {"stdout": 0, "stderr": 0} if offsets is None else offsets
        while True:
            async for frame in self._frames(vm, exec_id, dict(offsets)):
                if frame["type"] == "exit":
                    return
                stream, first = frame["stream"], frame.get("from", frame.get("offset", 0))
                if frame["type"] == "output":
                    lost, offsets[stream] = first - offsets[stream], frame["next_offset"]
                    yield Output(stream=stream, data=base64.b64decode(frame["data"]), lost=max(0, lost))

    @asynccontextmanager
    async def terminal(self, vm: str, exec_id: str, *, offset: int = 0) -> AsyncIterator[AsyncTerminal]:
        """The terminal of one that was begun with `tty`: what it shows, from that byte on, and its keyboard."""
        shown = AsyncTerminal(self._transport, f"{_exec(vm, exec_id)}/stream", offset)
        try:
            yield shown
        finally:
            await shown.close()

    async def part(
        self, vm: str, exec_id: str, stream: str = "stdout", *, offset: int = 0, limit: int = 65536
    ) -> OutputPart:
        """Some of what it wrote to "stdout" or "stderr", from a byte on."""
        path = f"{_exec(vm, exec_id)}/output"
        found = await self._transport.json("GET", path, stream=stream, offset=offset, limit=limit)
        return value(OutputPart, found)

    async def wait(self, vm: str, exec_id: str, timeout: float | None = None) -> Execution:
        """The execution once it has ended; `WaitTimeout` past the timeout (seconds)."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = HELD_SECONDS if deadline is None else min(HELD_SECONDS, deadline - time.monotonic())
            path = f"{_exec(vm, exec_id)}/wait"
            found = value(Execution, await self._transport.json("GET", path, timeout=max(0, round(left))))
            if found.state != "running":
                return found
            if left <= 0:
                raise WaitTimeout(f"execution {exec_id} in VM '{vm}' is still running")

    async def kill(self, vm: str, exec_id: str, signal: str = "KILL") -> Execution:
        """Send a signal to all its processes."""
        path = f"{_exec(vm, exec_id)}/kill"
        return value(Execution, await self._transport.json("POST", path, {"signal": signal}))

    async def forget(self, vm: str, exec_id: str) -> None:
        """Kill it if it runs, and forget it with its output."""
        await self._transport.json("DELETE", _exec(vm, exec_id))

    async def _frames(self, vm: str, exec_id: str, offsets: dict[str, int]) -> AsyncIterator[Any]:
        """The frames of one connection, which may end early."""
        query = f"encoding=base64&stdout={offsets['stdout']}&stderr={offsets['stderr']}"
        try:
            async with open_socket(self._transport, f"{_exec(vm, exec_id)}/stream?{query}") as socket:
                async for text in socket:
                    yield msgspec.json.decode(text)
        except websockets.ConnectionClosedError as error:
            if error.rcvd is not None and error.rcvd.code not in (1012, 1013):
                raise CorralError(f"the output was cut off: {error.rcvd.reason}") from None


class AsyncFiles:
    """Files in guests, of any size."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def list(self, vm: str, path: str = "/", *, recursive: bool = False) -> Entries:
        """What is in a folder, up to 10,000 entries."""
        recursion = "true" if recursive else None
        listing = await self._transport.json("GET", f"{_files(vm)}", path=path, recursive=recursion)
        return value(Entries, listing["files"])

    async def write(
        self,
        vm: str,
        path: str,
        content: bytes | IO[bytes],
        *,
        permissions: str = "644",
        tell: Callable[[int], object] | None = None,
    ) -> int:
        """Put a file there, whole or not at all; its size in bytes. `tell` hears of each piece of a file's size."""
        sent: Any = CountedFile(content, tell) if tell and not isinstance(content, bytes) else content
        response = await self._transport.send(
            "POST",
            f"{_files(vm)}/upload",
            data={"path": path, "permissions": permissions},
            files={"file": (path.rpartition("/")[2] or "file", sent)},
            timeout=None,
            repeat=isinstance(content, bytes),
        )
        return int(response.json()["size_bytes"])

    async def read(self, vm: str, path: str) -> bytes:
        """All of a file."""
        content = bytearray()
        async for piece in self.pieces(vm, path):
            content += piece
        return bytes(content)

    async def pieces(self, vm: str, path: str, first: int = 0) -> AsyncIterator[bytes]:
        """A file as it comes, from byte `first` on."""
        headers = {"Range": f"bytes={first}-"} if first else None
        async with self._transport.stream(f"{_files(vm)}/download", headers, path=path) as response:
            async for piece in response.aiter_bytes(_PIECE):
                yield piece

    async def upload(
        self,
        vm: str,
        source: Path,
        path: str,
        *,
        permissions: str | None = None,
        tell: Callable[[int], object] | None = None,
    ) -> int:
        """Put a file of this machine there; its size in bytes."""
        mode = permissions or f"{source.stat().st_mode & 0o777:o}"
        with source.open("rb") as file:
            return await self.write(vm, path, file, permissions=mode, tell=tell)

    async def download(self, vm: str, path: str, target: Path, *, tell: Callable[[int], object] | None = None) -> int:
        """Fetch a file to this machine; what was there is replaced once all of it has come. Its size in bytes.

        A connection that breaks is made anew, and goes on behind what has come.
        """
        part = target.with_name(f".{target.name}.part")
        size, attempt = 0, 0
        try:
            with part.open("wb") as file:
                while True:
                    try:
                        async for piece in self.pieces(vm, path, size):
                            size += file.write(piece)
                            attempt = 0
                            if tell:
                                tell(len(piece))
                        break
                    except Unreachable:
                        attempt += 1
                        if attempt >= ATTEMPTS:
                            raise
                        await asyncio.sleep(pause(attempt))
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        return size


def _exec(vm: str, exec_id: str) -> str:
    return f"/vms/{segment(vm)}/execs/{segment(exec_id)}"


def _files(vm: str) -> str:
    return f"/vms/{segment(vm)}/files"
