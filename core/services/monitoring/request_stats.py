"""Request counts and times of the API: counters in Redis, by the day and by the minute, in UTC."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from redis import Redis

from core.contract import channels

WINDOW_MINUTES = 5
_DAY_KEPT_SECONDS = 2 * 86400
_MINUTE_KEPT_SECONDS = 60 * (WINDOW_MINUTES + 2)


@dataclass(frozen=True)
class RequestCounts:
    """Requests, and of those that were timed how many, and their milliseconds."""

    requests: int = 0
    timed: int = 0
    milliseconds: float = 0.0

    def __add__(self, other: RequestCounts) -> RequestCounts:
        return RequestCounts(
            self.requests + other.requests, self.timed + other.timed, self.milliseconds + other.milliseconds
        )


def add(redis: Redis, counted: RequestCounts) -> None:
    """Count them now."""
    day, minute = _day(), channels.requests_of_minute(_minute())
    with redis.pipeline() as together:
        together.incrby(day, counted.requests)
        together.expire(day, _DAY_KEPT_SECONDS)
        together.hincrby(minute, "timed", counted.timed)
        together.hincrbyfloat(minute, "milliseconds", counted.milliseconds)
        together.expire(minute, _MINUTE_KEPT_SECONDS)
        together.execute()


def today(redis: Redis) -> tuple[int, float]:
    """(requests since midnight UTC, mean milliseconds over the last minutes; 0 without any)."""
    with redis.pipeline(transaction=False) as together:
        together.get(_day())
        for minute in range(_minute() - WINDOW_MINUTES + 1, _minute() + 1):
            together.hmget(channels.requests_of_minute(minute), ["timed", "milliseconds"])
        requests, *minutes = together.execute()
    found: list[Any] = [each for each in minutes if each[0] is not None]
    timed, milliseconds = sum(int(each[0]) for each in found), sum(float(each[1]) for each in found)
    return int(requests or 0), round(milliseconds / timed, 2) if timed else 0.0


def _day() -> str:
    return channels.requests_of_day(datetime.now(UTC).strftime("%Y-%m-%d"))


def _minute() -> int:
    return int(time.time() // 60)
