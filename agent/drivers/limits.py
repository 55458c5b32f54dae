"""The limits of a verb: its deadline, and the errors that it may raise."""

from __future__ import annotations

import errno
import functools
import logging
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from core.contract.errors import DriverFailure, GuestTimeout

log = logging.getLogger(__name__)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.EMFILE, errno.ENFILE)
_CODES = dict.fromkeys(_FULL, "insufficient_resources")
P = ParamSpec("P")
T = TypeVar("T")
Left = Callable[[], float]
"""Seconds left; raises `GuestTimeout` once there are none."""


def only_driver_failures(verb: Callable[P, T]) -> Callable[P, T]:
    """What the host's files refuse (no space, no right, gone meanwhile) is a failure of the driver's too."""

    @functools.wraps(verb)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return verb(*args, **kwargs)
        except OSError as error:
            raise _refused_by_host(verb.__name__, error) from error

    return guarded


def _refused_by_host(verb: str, error: OSError) -> DriverFailure:
    """What the host's files did not allow; their names are nobody's business but the operator's."""
    log.warning("%s failed on the host: %s", verb, error)
    code = _CODES.get(error.errno or 0, "host_refused")
    return DriverFailure(f"{verb} failed on the host: {error.strerror or type(error).__name__}", code=code)


def countdown(timeout: float) -> Left:
    deadline = time.monotonic() + timeout

    def left() -> float:
        seconds = deadline - time.monotonic()
        if seconds <= 0:
            raise GuestTimeout(f"timed out after {timeout:.0f} s")
        return seconds

    return left
