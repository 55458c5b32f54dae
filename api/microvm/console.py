"""The microvm dialect's WebSocket of a serial console: its bytes, as they are, in both directions.

Each binary message from the server is output, from the last 64 KiB on (`?replay=false`: from now on); each binary or
text message to it is typed. One client types at a time; to the others, and with `?read_only=true`, the console is
read-only. Text messages from the server are JSON: `{"type": "connected", "writable": bool}`, and
`{"type": "error", "error", "message"}` for what could not be typed. It ends when the VM is deleted, and outlives
restarts of the guest and of the host's agent.
"""

from __future__ import annotations

import json
from contextlib import closing
from functools import partial
from typing import Any

from flask import g, request
from flask_sock import Sock
from simple_websocket import Server
from sqlalchemy.engine import Engine

from api.auditing import audit
from api.microvm import callers
from api.microvm.callers import Authenticate
from api.realtime.connection import WsConnection, ended_by, ws_connection
from api.realtime.console import ConsoleSession, Which
from api.realtime.hub import Hub
from api.realtime.upgrade import socket_blueprint
from api.web.requests import check_path
from api.web.views import mark
from core.contract.errors import CorralError, Invalid
from core.database import transaction
from core.services import calls
from core.services.context import Actor

_FLAGS = {"true": True, "false": False}


def register(sock: Sock, realtime: Hub, engine: Engine, authenticate: Authenticate) -> None:
    """Add the route to `sock.app`."""
    blueprint = socket_blueprint(sock, "microvm_console", realtime)
    enter = partial(_enter, engine)

    def admit() -> None:
        check_path()
        g.read_only, g.replay = _flag("read_only", default=False), _flag("replay", default=True)
        callers.admit(sock.app, authenticate, enter)

    def console(ws: Server, vm_name: str) -> None:
        del vm_name  # `enter` has found it
        with ws_connection(ws, realtime) as connection:
            callers.ask(connection, sock.app, authenticate, enter)
            with closing(ConsoleSession(realtime, g.which, _MicrovmViewer(connection))) as shown:
                shown.start()
                connection.serve(lambda _: None, partial(_type, connection, shown), g.caller)

    blueprint.before_request(admit)
    sock.route("/api/v1/vms/<vm_name>/console", bp=blueprint)(mark("public", "uncounted")(console))
    sock.app.register_blueprint(blueprint)


class _MicrovmViewer:
    """Writes what the console puts out."""

    def __init__(self, connection: WsConnection) -> None:
        self._connection = connection

    def connected(self, *, writable: bool) -> None:
        self._connection.send(_message("connected", writable=writable))

    def output(self, data: bytes) -> None:
        self._connection.send(data)

    def disconnected(self, error: CorralError) -> None:
        self._connection.end(ended_by(error))


def _enter(engine: Engine, actor: Actor) -> None:
    with transaction(engine) as session:
        host, vm = calls.to_console(session, actor, (request.view_args or {})["vm_name"])
        g.which = Which(host, vm, write=not (g.read_only or actor.read_only), replay=g.replay)
        if g.which.write:
            audit.console_opened(session, actor, vm)
    g.listener.actor = actor


def _type(connection: WsConnection, shown: ConsoleSession, typed: str | bytes) -> None:
    try:
        shown.type(typed.encode() if isinstance(typed, str) else typed)
    except CorralError as error:
        connection.send(_message("error", error=error.code, message=error.message))


def _message(kind: str, **body: Any) -> str:
    return json.dumps({"type": kind} | body, separators=(",", ":"))


def _flag(name: str, *, default: bool) -> bool:
    text = request.args.get(name)
    if text is None:
        return default
    if text not in _FLAGS:
        raise Invalid(f"{name} must be true or false", field=name)
    return _FLAGS[text]
