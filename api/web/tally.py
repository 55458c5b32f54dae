"""The request counts of a process, added to the fleet's in Redis once a second: no request waits for that."""

from __future__ import annotations

import threading

from core.dispatch import Dispatch
from core.services.monitoring import request_stats
from core.services.monitoring.request_stats import RequestCounts

_SECONDS = 1.0
_CLOSE_SECONDS = 10.0  # longer than a client waits for a mute Redis


class Tally:
    """One a process; its thread begins with the first request. What is counted while Redis is away is added later."""

    def __init__(self, dispatch: Dispatch) -> None:
        self._dispatch = dispatch
        self._lock, self._bell, self._closing = threading.Lock(), threading.Event(), threading.Event()
        self._counted = RequestCounts()
        self._thread: threading.Thread | None = None

    def note(self, seconds: float, *, held: bool) -> None:
        """One request. One that was `held`, for an operation or a guest, says nothing of how quick the API is."""
        with self._lock:
            self._counted += RequestCounts(1) if held else RequestCounts(1, 1, seconds * 1000)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="tally", daemon=True)
                self._thread.start()
        self._bell.set()

    def close(self) -> None:
        """End its thread; what it has not told yet is told."""
        self._closing.set()
        self._bell.set()
        if self._thread is not None:
            self._thread.join(_CLOSE_SECONDS)

    def _run(self) -> None:
        while not self._closing.is_set():
            self._bell.wait()
            self._closing.wait(_SECONDS)
            self._bell.clear()
            self._tell()

    def _tell(self) -> None:
        with self._lock:
            counted, self._counted = self._counted, RequestCounts()
        if not self._dispatch.attempt(lambda: request_stats.add(self._dispatch.redis, counted)):
            with self._lock:
                self._counted += counted
            self._bell.set()
