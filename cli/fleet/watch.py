"""Watches processes: one that ends is started again, after a pause that grows while it keeps ending."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from cli.fleet import files
from cli.fleet.processes import Process, StartFailed
from core.backoff import Backoff

_LOOK_EVERY = 0.2
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0
_STEADY_AFTER = 30.0  # seconds of running after which former failures are forgotten
_LOG_LIMIT = 50 * 1024 * 1024

Say = Callable[[str], None]


@dataclass
class _WatchedProcess:
    process: Process
    wanted: bool = True
    backoff: Backoff = field(default_factory=lambda: Backoff(_FIRST_PAUSE, _LONGEST_PAUSE))
    again_at: float | None = None
    started_at: float = 0.0


class ProcessWatch:
    """Keeps every process that it was given alive, except those on hold. Each restart is said."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._kept: dict[str, _WatchedProcess] = {}
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, processes: list[Process]) -> None:
        """Watches over these, which run already."""
        self._kept = {process.name: _WatchedProcess(process, started_at=time.monotonic()) for process in processes}
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Restarts nothing from now on."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join()

    def hold(self, name: str) -> None:
        """Leaves that one alone, whatever becomes of it."""
        with self._lock:
            if name in self._kept:
                self._kept[name].wanted = False

    def release(self, name: str) -> None:
        """Watches over it again; it runs by now."""
        with self._lock:
            if name in self._kept:
                self._kept[name] = _WatchedProcess(self._kept[name].process, started_at=time.monotonic())

    def _run(self) -> None:
        while not self._ending.wait(_LOOK_EVERY):
            for kept in list(self._kept.values()):
                with self._lock:
                    if kept.wanted and not self._ending.is_set():
                        self._look_after(kept)
                files.cut(kept.process.log, _LOG_LIMIT)

    def _look_after(self, kept: _WatchedProcess) -> None:
        now = time.monotonic()
        if kept.process.alive:
            if now - kept.started_at > _STEADY_AFTER:
                kept.backoff.reset()
        elif kept.again_at is None:
            kept.process.kill()  # its children, which hold its port and do its work still
            pause = kept.backoff.pause()
            kept.again_at = now + pause
            self._say(f"{kept.process.name} ended ({how(kept.process)}); starting it again in {pause:.0f} s")
        elif now >= kept.again_at:
            self._start(kept)

    def _start(self, kept: _WatchedProcess) -> None:
        kept.again_at = None
        kept.started_at = time.monotonic()
        try:
            kept.process.start()
        except StartFailed as error:
            self._say(str(error))
        else:
            self._say(f"{kept.process.name} was started again")


def how(process: Process) -> str:
    """How a process ended, in words."""
    code = process.exit_code
    if code is None:
        return "it did not start"
    return f"killed by signal {-code}" if code < 0 else f"exit code {code}"
