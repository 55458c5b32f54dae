"""QEMU's monitor, one short conversation at a time: `qemu.qmp` is asyncio, the driver is not."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from qemu.qmp import QMPClient, QMPError

from agent.system import sockets
from core.contract.errors import DriverFailure

SOCKET = "qmp.sock"
T = TypeVar("T")


class QmpError(DriverFailure):
    """QEMU answered with an error, or does not answer."""

    code = "hypervisor_refused"


class Monitor:
    """A conversation with the QEMU of a VM's folder, at most `timeout` seconds long; QEMU has one at a time."""

    def __init__(self, folder: Path, timeout: float) -> None:
        self._path, self._deadline = folder / SOCKET, time.monotonic() + timeout
        self._client = QMPClient()

    def __enter__(self) -> Monitor:
        self._loop = asyncio.Runner()
        try:
            stream = sockets.connect(self._path, max(0.1, self._deadline - time.monotonic()))
            self._run("connect", self._client.connect(stream))
        except OSError as error:
            self._loop.close()
            raise QmpError(f"QEMU's monitor can't be reached: {error.strerror or error}") from None
        except BaseException:
            self._loop.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            self._run("disconnect", self._client.disconnect())
        except QmpError:
            pass  # QEMU may have hung up first; what was asked has been answered
        finally:
            self._loop.close()

    def ask(self, command: str, **arguments: Any) -> Any:
        """The answer to one command; names with '_' are sent with '-'."""
        named = {name.replace("_", "-"): value for name, value in arguments.items()}
        return self._run(command, self._client.execute(command, named))

    def hear(self, event: str, **data: Any) -> None:
        """Returns once QEMU has told of an event with such data, since the conversation began."""

        async def heard() -> None:
            async for message in self._client.events:
                told: dict[str, Any] = dict(message)
                if told["event"] == event and data.items() <= told.get("data", {}).items():
                    return

        self._run(event, heard())

    def hand_over(self, name: str, descriptor: int) -> None:
        """Gives QEMU an open file, which it knows as `name`."""
        self._client.send_fd_scm(descriptor)
        self.ask("getfd", fdname=name)

    def add_to_set(self, number: int, path: Path, flags: int) -> None:
        """Opens a file and puts it into QEMU's set of that number, from which it opens `/dev/fdset/<number>`."""
        descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            self._client.send_fd_scm(descriptor)
            self.ask("add-fd", fdset_id=number)
        finally:
            os.close(descriptor)

    def _run(self, what: str, doing: Coroutine[Any, Any, T]) -> T:
        async def bounded() -> T:
            return await asyncio.wait_for(doing, max(0.1, self._deadline - time.monotonic()))

        try:
            return self._loop.run(bounded())
        except TimeoutError:
            raise QmpError(f"QEMU did not answer '{what}' in time", code="timeout") from None
        except (QMPError, EOFError, OSError) as error:
            raise QmpError(f"QEMU refused '{what}': {error}") from None
