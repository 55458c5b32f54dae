"""Rate limits: requests a minute and an hour for each user, counted in Redis for both dialects together.

Without Redis each process counts by itself (docs/decisions/0019): nobody is refused for its absence.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TypeVar

from flask import Flask, Response, g, request
from limits import RateLimitItem, WindowStats, parse_many
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import RateLimiter, SlidingWindowCounterRateLimiter
from redis.backoff import NoBackoff
from redis.retry import Retry

from api.web.context import api_context
from api.web.requests import source_ip
from api.web.views import marked
from core.contract.errors import TooMany
from core.dispatch import CircuitBreaker
from core.services.context import Actor
from core.settings import Settings

T = TypeVar("T")
REQUESTS, HANDSHAKES = "requests", "handshakes"
_PATIENCE_SECONDS = 0.25  # a request waits so long for a mute Redis, once


class RequestLimits:
    """The counters of one process, shared by both apps."""

    def __init__(self, settings: Settings) -> None:
        rates = parse_many(f"{settings.rate_burst}/minute;{settings.rate_hourly}/hour")
        self._rates: list[RateLimitItem] = sorted(rates)
        together = RedisStorage(
            settings.redis_url,
            socket_timeout=_PATIENCE_SECONDS,
            socket_connect_timeout=_PATIENCE_SECONDS,
            retry=Retry(NoBackoff(), 0),  # type: ignore[arg-type]  # handed on to redis-py as it is
        )
        self._together, self._alone = (
            SlidingWindowCounterRateLimiter(together),
            SlidingWindowCounterRateLimiter(MemoryStorage()),
        )
        self._breaker = CircuitBreaker()

    def count(self, who: str, what: str = REQUESTS) -> RateLimitItem:
        """Count one more of `what`; the rate that its caller is nearest to in time. `TooMany` beyond one."""
        for rate in self._rates:
            if not self._ask(lambda limiter, rate=rate: limiter.hit(rate, who, what)):  # type: ignore[misc]
                g.counted = (rate, who, what)
                raise _too_many(self.left(rate, who, what))
        return self._rates[0]

    def left(self, rate: RateLimitItem, who: str, what: str) -> WindowStats:
        """How many are left, and when the count begins anew."""
        return self._ask(lambda limiter: limiter.get_window_stats(rate, who, what))

    def _ask(self, question: Callable[[RateLimiter], T]) -> T:
        found: list[T] = []
        if self._breaker.attempt(
            lambda: found.append(question(self._together)), "requests are counted by each process"
        ):
            return found[0]
        return question(self._alone)


def install(app: Flask) -> None:
    """Count the requests of an app, and tell each caller what is left."""
    app.before_request(_count)
    app.after_request(_tell)


def count_request() -> None:
    """Count the present request for its caller; a view that is `uncounted` may do so once it knows who calls."""
    who = caller_of_limits()
    g.counted = (api_context().limits.count(who), who, REQUESTS)


def caller_of_limits() -> str:
    """Whose limits a request counts against: its user's, else its address's."""
    known: Actor | None = g.get("actor")
    return known.user_id if known else f"address:{source_ip()}"


def _count() -> None:
    if request.method != "OPTIONS" and not marked("uncounted"):
        count_request()


def _tell(response: Response) -> Response:
    if "counted" in g:
        rate, who, what = g.counted
        left = api_context().limits.left(rate, who, what)
        response.headers["X-RateLimit-Limit"] = str(rate.amount)
        response.headers["X-RateLimit-Remaining"] = str(left.remaining)
        response.headers["X-RateLimit-Reset"] = str(math.ceil(left.reset_time))
    return response


def _too_many(left: WindowStats) -> TooMany:
    return TooMany("Too many requests", retry_after_seconds=max(1, math.ceil(left.reset_time - time.time())))
