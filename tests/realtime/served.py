"""A small API around the sockets, for gunicorn: keys as credentials, and one request that is held."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from flask import Flask, Request, Response, jsonify, request
from flask_sock import Sock

from api.microvm import sockets
from api.realtime import connection, waits
from api.realtime.hub import Hub
from api.vboxmcp import socket
from api.web.context import ApiContext
from api.web.limits import RequestLimits
from api.web.tally import Tally
from core import database, log, settings
from core.contract.errors import Busy, CorralError, Forbidden, Invalid, NotFound, TooMany, Unauthenticated, Unavailable
from core.database import transaction
from core.dispatch import Dispatch
from core.services import keys
from core.services.context import Actor

_STATUS: dict[type[CorralError], int] = {
    Invalid: 400,
    Unauthenticated: 401,
    Forbidden: 403,
    NotFound: 404,
    TooMany: 429,
    Busy: 503,
    Unavailable: 503,
}
connection.CHECK_SECONDS = float(os.environ.get("CHECK_SECONDS", "45"))
connection.FIRST_MESSAGE_SECONDS = float(os.environ.get("FIRST_MESSAGE_SECONDS", "10"))
waits.QUERY_SECONDS = float(os.environ.get("QUERY_SECONDS", "20"))
log.setup("api", "INFO")
engine = database.connect(os.environ["DATABASE_URL"])
dispatch = Dispatch(os.environ["REDIS_URL"])
hub = Hub(os.environ["REDIS_URL"], engine, dispatch)


context = ApiContext(settings.load(), engine, dispatch, hub, Tally(dispatch), RequestLimits(settings.load()))


def by_key(secret: str) -> Actor:
    """The owner of an API key."""
    with transaction(engine) as session:
        return keys.authenticate(session, secret)


def by_header(asked: Request) -> Actor:
    """The same, from either header; through Flask's `request` as the API does it."""
    assert asked is not None
    return by_key(request.headers.get("X-API-Key") or request.headers.get("Authorization", "")[len("Bearer ") :])


def _refuse(error: CorralError) -> tuple[Response, int]:
    status = next(status for kind, status in _STATUS.items() if isinstance(error, kind))
    return jsonify(error=error.code, message=error.message), status


def _app(name: str) -> Flask:
    app = Flask(name)
    app.register_error_handler(CorralError, _refuse)
    app.extensions["corral"] = context
    interval = float(os.environ.get("PING_INTERVAL", "25"))
    app.config["SOCK_SERVER_OPTIONS"] = {"ping_interval": interval, "max_message_size": 16 * 1024}
    return app


microvm, vboxmcp = _app("microvm"), _app("vboxmcp")
sockets.register(Sock(microvm), hub, engine, by_header)
socket.register(Sock(vboxmcp), hub, engine, by_key)


@microvm.get("/held/<operation_id>")
def held(operation_id: str) -> tuple[str, int]:
    """Held until that operation ends: 200, or 202."""
    ended = hub.wait_operation(operation_id, float(request.args["seconds"]), lambda: False)
    return "", 200 if ended else 202


@microvm.get("/ask/<host>")
def ask(host: str) -> dict[str, Any]:
    """A call."""
    return hub.call(host, "observe", None, {}, float(request.args["seconds"]))


@microvm.get("/query")
def query() -> str:
    """Something slow in the database."""
    with transaction(engine) as session:
        session.connection().exec_driver_sql(f"SET LOCAL statement_timeout = {int(request.args.get('limit', 15000))}")
        session.connection().exec_driver_sql(f"SELECT pg_sleep({float(request.args['seconds'])})")
    return "done"


class Application:
    """The dispatcher in front."""

    realtime = hub

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        app = vboxmcp if environ["PATH_INFO"] == "/api/v1/ws" else microvm
        return app(environ, start_response)


application = Application()
