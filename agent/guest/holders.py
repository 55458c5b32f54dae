"""The end of a command whose children keep its outputs open: they are ended after its shell has exited.

The guest agent calls a command ended only when its outputs are closed too. Whether the shell is alive is asked of
`/proc`, and not before the command has lasted half a second: most have ended by then.
"""

from __future__ import annotations

import time
from pathlib import Path

from agent.guest import killing, qga, reading, script

FIRST_SECONDS, DRAIN_SECONDS = 0.5, 0.5
SHARE, LAST_SECONDS = 0.25, 5.0
RELEASE_SECONDS = 5.0
_STATE, _STARTED = 0, 19  # of what follows the name in /proc/<pid>/stat, proc(5)


class Holders:
    """The children of one command whose shell has that number in the guest."""

    def __init__(self, channel: Path, number: int, token: str, pid: int) -> None:
        self._channel, self._number, self._token, self._pid = channel, number, token, pid
        self._began = time.monotonic()
        self._look_at = self._began + FIRST_SECONDS
        self._started: bytes | None = None
        self._was_gone = False

    def look(self) -> None:
        """To be called while the command seems to run: at the second look that finds no shell, its holders end."""
        now = time.monotonic()
        if now < self._look_at:
            return
        try:
            gone = not self._shell_lives()
        except qga.AgentForbids:  # files are closed to us: the outputs' end is all there is to go by
            self._look_at = float("inf")
            return
        if gone and self._was_gone:
            deadline = now + RELEASE_SECONDS
            killing.run(self._channel, script.releasing(self._number, self._token), deadline)
        self._was_gone = gone
        age = now - self._began
        self._look_at = now + (DRAIN_SECONDS if gone else min(LAST_SECONDS, max(FIRST_SECONDS, SHARE * age)))

    def _shell_lives(self) -> bool:
        stat = reading.small(self._channel, f"/proc/{self._pid}/stat")
        fields = (stat or b"").rpartition(b")")[2].split()
        if len(fields) <= _STARTED or fields[_STATE] in (b"Z", b"X"):
            return False
        self._started = self._started or fields[_STARTED]
        return fields[_STARTED] == self._started
