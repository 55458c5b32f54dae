"""Counts every request of an application, once it is answered."""

from __future__ import annotations

import time

from flask import Flask, Response, g, request
from sqlalchemy.pool import QueuePool

from api.monitoring.meters import CONNECTIONS, REQUEST_SECONDS, REQUESTS
from api.web.context import ApiContext
from api.web.requests import PREFIX

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def install(app: Flask, dialect: str, context: ApiContext) -> None:
    """Count the requests of a dialect. Sockets are no requests: they last."""

    def counted(response: Response) -> Response:
        if "Upgrade" not in request.headers:
            seconds = time.perf_counter() - g.get("begun", time.perf_counter())
            route = request.url_rule.rule if request.url_rule else "none"
            method = request.method if request.method in _METHODS else "other"
            REQUESTS.labels(dialect, method, route, str(response.status_code)).inc()
            REQUEST_SECONDS.labels(dialect, method, route).observe(seconds)
            _note_connections(context)
            if request.path.startswith(PREFIX):
                context.tally.note(seconds, held="held" in g)
        return response

    app.after_request(counted)


def _note_connections(context: ApiContext) -> None:
    pool = context.engine.pool
    if isinstance(pool, QueuePool):
        CONNECTIONS.labels("in_use").set(pool.checkedout())
        CONNECTIONS.labels("idle").set(pool.checkedin())
