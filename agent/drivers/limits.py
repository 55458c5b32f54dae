"""The bounds of a verb: how long it may take, and what may leave it."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from core.contract.errors import DriverFailure, GuestTimeout

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
            raise DriverFailure(f"{verb.__name__} failed on the host: {error}") from error

    return guarded


def countdown(timeout: float) -> Left:
    deadline = time.monotonic() + timeout

    def left() -> float:
        seconds = deadline - time.monotonic()
        if seconds <= 0:
            raise GuestTimeout(f"not done within {timeout:.0f} s")
        return seconds

    return left
