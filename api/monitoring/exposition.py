"""GET /metrics: all metrics in Prometheus' text format, for callers with the metrics token."""

from __future__ import annotations

import os

from flask import Blueprint, Response, request
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from api.monitoring.fleet import FleetMetrics
from api.web.context import ApiContext
from api.web.views import mark
from core import exposition
from core.contract.errors import Forbidden, Unauthenticated


def blueprint(context: ApiContext) -> Blueprint:
    """The view, outside of both dialects."""
    blp = Blueprint("monitoring", __name__)
    fleet = CollectorRegistry()
    fleet.register(FleetMetrics(context))

    @blp.get("/metrics")
    @mark("public", "uncounted")
    def metrics() -> Response:
        _may_read(context.settings.metrics_token)
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
    if not token:
        raise Forbidden("metrics are off: set CORRAL_METRICS_TOKEN, and send it as a bearer token")
    if not exposition.may_read(request.headers.get("Authorization"), token):
        raise Unauthenticated(exposition.HOW)
