"""Watches the processes of VMs, so that the end of one is reported at once, and not at the next look at all VMs.

What became of the VM, its driver finds in the records that its hypervisor left. Linux alone: elsewhere, and for VMs
without a process that is known, the looks have to do.
"""

from __future__ import annotations

import logging
import os
import select
import sys
import threading
from collections.abc import Callable, Iterable

from agent.system.loops import Loop

log = logging.getLogger(__name__)
WAIT_SECONDS = 1.0


class Exits:
    """The processes that are waited for, each by a descriptor; `loop` is the thread that waits. `on_end` is called in
    it, once for each that has ended."""

    def __init__(self) -> None:
        self.on_exit: Callable[[], None] = lambda: None
        self.loop = Loop("ends", self._wait)
        self._lock = threading.Lock()
        self._open: dict[int, int | None] = {}  # by process id; None: it has ended, or can't be waited for
        if sys.platform == "linux":
            self._poll = select.epoll()

    def only(self, pids: Iterable[int | None]) -> None:
        """Those of all VMs."""
        wanted = {pid for pid in pids if pid is not None}
        with self._lock:
            for pid in self._open.keys() - wanted:
                self._close(self._open.pop(pid))
            self._add(wanted)

    def also(self, pid: int | None) -> None:
        """That of one more, before all are looked at."""
        if pid is not None:
            with self._lock:
                self._add({pid})

    def _add(self, pids: set[int]) -> None:
        if sys.platform == "linux":
            for pid in pids - self._open.keys():
                self._open[pid] = self._opened(pid)

    def _opened(self, pid: int) -> int | None:
        try:
            process = os.pidfd_open(pid)
        except OSError as error:
            log.info("process %d can't be waited for: %s", pid, error.strerror)
            return None
        self._poll.register(process, select.EPOLLIN)
        return process

    def _close(self, process: int | None) -> None:
        if process is not None:
            self._poll.unregister(process)
            os.close(process)

    def _wait(self) -> None:
        if sys.platform != "linux":
            self.loop.stopping.wait()
            return
        ready = {process for process, _ in self._poll.poll(WAIT_SECONDS)}
        with self._lock:
            ended = [pid for pid, process in self._open.items() if process in ready]
            for pid in ended:
                self._close(self._open[pid])
                self._open[pid] = None
        for _ in ended:
            self.on_exit()
