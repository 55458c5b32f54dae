"""Rate limits: so many requests a minute and an hour for each user, counted in Redis for both dialects together."""

from __future__ import annotations

import math
import time
from typing import Any

from flask import Flask, Response, current_app, g, request
from flask_limiter import Limiter, RequestLimit
from redis.backoff import NoBackoff
from redis.retry import Retry

from api.auth.identity import caller_of_limits
from api.rest.views import marked
from core.contract.errors import TooMany
from core.settings import Settings

# Handed to redis-py as they are; a request waits this long for a mute Redis, once.
_REDIS_OPTIONS: dict[str, Any] = {
    "socket_timeout": 0.25,
    "socket_connect_timeout": 0.25,
    "retry": Retry(NoBackoff(), 0),
}


def make(settings: Settings) -> Limiter:
    """The limiter that both apps share. Without Redis each process counts for itself, until Redis is back."""
    rates = f"{settings.rate_burst}/minute;{settings.rate_hourly}/hour"
    limiter = Limiter(
        caller_of_limits,
        application_limits=[rates],
        in_memory_fallback=[rates],
        storage_uri=settings.redis_url,
        storage_options=_REDIS_OPTIONS,
        strategy="sliding-window-counter",
        headers_enabled=True,
        retry_after="delta-seconds",
        # Requests for no view of ours are counted too: guessing paths is not free.
        request_identifier=lambda: request.endpoint or "nowhere",
    )
    limiter.request_filter(lambda: request.method == "OPTIONS" or marked("uncounted"))
    return limiter


def install(app: Flask, limiter: Limiter) -> None:
    """Count the requests of an app."""
    app.after_request(_own_retry_after)  # runs after the limiter's own, which is registered later
    limiter.init_app(app)


def too_many() -> TooMany:
    """The error for the present request, which is one too many."""
    (limiter,) = current_app.extensions["limiter"]
    broken: RequestLimit | None = limiter.current_limit
    seconds = math.ceil(broken.reset_at - time.time()) if broken else 60
    return TooMany("Too many requests", retry_after_seconds=max(1, seconds))


def _own_retry_after(response: Response) -> Response:
    """The limiter tells everyone when to retry; only who was refused needs to know, and from whoever refused."""
    response.headers.pop("Retry-After", None)
    if "retry_after" in g:
        response.headers["Retry-After"] = str(g.retry_after)
    return response
