"""Follows an execution: asks its host repeatedly, less often the longer nothing happens."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from dataclasses import dataclass

from api.web.context import HubProtocol
from core.contract.messages import JSON, VmSpec

CALL_SECONDS = 30.0
# A question costs the guest some milliseconds where it is emulated.
FIRST_PAUSE, LAST_PAUSE, SHARE = 0.05, 1.0, 0.2
# Who sits at a terminal waits for what it shows.
TERMINAL_FIRST, TERMINAL_LAST = 0.02, 0.5


@dataclass(frozen=True)
class Chunk:
    """A part of one output; `offset` is that of its first byte."""

    data: bytes
    offset: int
    ended: bool


@dataclass(frozen=True)
class FollowedExec:
    """An execution that is followed, and the host to call about it."""

    hub: HubProtocol
    host: str
    vm: VmSpec
    id: str

    def state(self) -> JSON:
        """The command as it is now."""
        return self._ask("exec_get", {})

    def output(self, offsets: dict[str, int], limit: int) -> dict[str, Chunk]:
        """What it has written from there on, by stream."""
        reply = self._ask("exec_output", {"offsets": offsets, "limit": limit})
        return {
            stream: Chunk(base64.b64decode(part["data_b64"]), part["offset"], part["ended"])
            for stream, part in reply.items()
        }

    def type(self, data: bytes) -> None:
        """Type it on its terminal."""
        self._ask("exec_type", {"data_b64": base64.b64encode(data).decode()})

    def resize(self, rows: int, columns: int) -> None:
        """Give its terminal that size."""
        self._ask("exec_resize", {"size": {"rows": rows, "columns": columns}})

    def _ask(self, verb: str, params: JSON) -> JSON:
        return self.hub.call(self.host, verb, self.vm, {"id": self.id, **params}, CALL_SECONDS)


def pause_after(quiet_seconds: float, *, terminal: bool = False) -> float:
    """How long to wait with the next question when nothing has happened for so long."""
    first, last = (TERMINAL_FIRST, TERMINAL_LAST) if terminal else (FIRST_PAUSE, LAST_PAUSE)
    return min(last, max(first, SHARE * quiet_seconds))


def wait(execution: FollowedExec, seconds: float, gone: Callable[[], bool]) -> JSON:
    """The command once it has ended, or when the time is over, or nobody waits any more."""
    began = time.monotonic()
    while True:
        found, waited = execution.state(), time.monotonic() - began
        if found["state"] != "running" or waited >= seconds or execution.hub.draining or gone():
            return found
        time.sleep(min(pause_after(waited), seconds - waited))
