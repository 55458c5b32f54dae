"""The bounds of a verb: how long it may take, and what may leave it."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from core.contract.errors import DriverFailure, GuestTimeout

log = logging.getLogger(__name__)
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
            log.exception("%s failed", verb.__name__)  # the paths in it are the host's, and nobody else's business
            why = error.strerror or type(error).__name__
            raise DriverFailure(f"{verb.__name__} failed on the host: {why}") from error

    return guarded


def countdown(timeout: float) -> Left:
    deadline = time.monotonic() + timeout

    def left() -> float:
        seconds = deadline - time.monotonic()
        if seconds <= 0:
            raise GuestTimeout(f"timed out after {timeout:.0f} s")
        return seconds

    return left
