"""The calls that a caller still waits for: an abandoned call ends its work."""

from __future__ import annotations

import threading

from agent.drivers.base import Cancelled, Check


class Waiting:
    """The calls that this agent is answering."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._wanted: dict[str, bool] = {}

    def begin(self, call_id: str) -> None:
        """Somebody waits for that call."""
        with self._changed:
            self._wanted[call_id] = True

    def end(self, call_id: str) -> None:
        """It is answered."""
        with self._changed:
            self._wanted.pop(call_id, None)
            self._changed.notify_all()

    def abandon(self, call_id: str) -> bool:
        """Nobody waits for it any more; False if it isn't under way here."""
        with self._changed:
            known = call_id in self._wanted
            if known:
                self._wanted[call_id] = False
            return known

    def abandon_all(self, seconds: float) -> bool:
        """Nobody will be answered any more. Whether all calls have ended within that time."""
        with self._changed:
            self._wanted = dict.fromkeys(self._wanted, False)
            return self._changed.wait_for(lambda: not self._wanted, seconds)

    def check_of(self, call_id: str) -> Check:
        """Raises `Cancelled` once the call is abandoned."""

        def check() -> None:
            if not self._wanted.get(call_id, False):
                raise Cancelled(f"nobody waits for call {call_id} any more")

        return check
