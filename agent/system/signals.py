"""Signals to processes that are known by more than a pid, which may be reused."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable


def send(holder: Callable[[], int | None], number: int) -> None:
    """The signal to the process that `holder` finds, if there is one and it is still that one."""
    pid = holder()
    if pid is None:
        return
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if holder() == pid:  # so the descriptor is that of the process we mean
            signal.pidfd_send_signal(process, number)
    except ProcessLookupError:
        pass  # it ended by itself
    finally:
        os.close(process)
