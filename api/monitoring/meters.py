"""Metrics of one API process for Prometheus. Under gunicorn the workers' metrics are added up through shared files.

Every label has few values: routes are templates, methods and verbs are known words.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

from prometheus_client import Counter, Gauge, Histogram

from core.contract import metering

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120)

REQUESTS = Counter(
    "corral_http_requests", "Requests answered, by route template.", ["dialect", "method", "route", "status"]
)
REQUEST_SECONDS = Histogram(
    "corral_http_request_seconds",
    "How long requests took, including requests that waited for an operation.",
    ["dialect", "method", "route"],
    buckets=_BUCKETS,
)
HELD = Gauge("corral_held_waits", "Requests that wait for an operation's end now.", multiprocess_mode="livesum")
SOCKETS = Gauge("corral_open_sockets", "Open WebSockets.", multiprocess_mode="livesum")
CALLS = Counter("corral_calls", "Calls to hosts, by how they ended.", ["verb", "outcome"])
CALL_SECONDS = Histogram("corral_call_seconds", "How long hosts took to answer.", ["verb"], buckets=_BUCKETS)
CONNECTIONS = Gauge(
    "corral_database_connections",
    "Connections to PostgreSQL, at the last request.",
    ["state"],
    multiprocess_mode="livesum",
)


def metered(verb: str) -> AbstractContextManager[None]:
    """Count a call to a host, and how it ended: "ok", or the code of its error."""

    def tell(outcome: str, seconds: float) -> None:
        CALLS.labels(verb, outcome).inc()
        CALL_SECONDS.labels(verb).observe(seconds)

    return metering.metered(tell)
