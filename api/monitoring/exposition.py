"""GET /metrics: everything in Prometheus' text format, for whoever may read it.

With a token (CORRAL_METRICS_TOKEN) that is who shows it; without one, programs on this machine: not strangers, who
would come through a reverse proxy on it, and not from elsewhere.
"""

from __future__ import annotations

import hmac
import os

from flask import Blueprint, Response, request
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from api.monitoring.fleet import FleetFigures
from api.parts import Parts
from api.rest.views import mark
from core.contract.errors import Forbidden, Unauthenticated

_LOOPBACK = ("127.0.0.1", "::1")
_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via")


def blueprint(those: Parts) -> Blueprint:
    """The view, outside of both dialects."""
    blp = Blueprint("monitoring", __name__)
    fleet = CollectorRegistry()
    fleet.register(FleetFigures(those))

    @blp.get("/metrics")
    @mark("public", "uncounted")
    def metrics() -> Response:
        _may_read(those.settings.metrics_token)
        return Response(generate_latest(_of_processes()) + generate_latest(fleet), content_type=CONTENT_TYPE_LATEST)

    return blp


def _of_processes() -> CollectorRegistry:
    """Of all workers of a gunicorn, by the files that they share; else of this process."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return REGISTRY
    together = CollectorRegistry()
    MultiProcessCollector(together)  # type: ignore[no-untyped-call]
    return together


def _may_read(token: str) -> None:
    if token:
        shown = request.headers.get("Authorization", "")
        if not hmac.compare_digest(shown.encode("utf-8", "replace"), f"Bearer {token}".encode()):
            raise Unauthenticated("show the token of CORRAL_METRICS_TOKEN: Authorization: Bearer <token>")
    elif request.remote_addr not in _LOOPBACK or any(name in request.headers for name in _FORWARDED):
        raise Forbidden("set CORRAL_METRICS_TOKEN to read metrics from elsewhere than this machine")
