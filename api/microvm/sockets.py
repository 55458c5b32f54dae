"""The microvm dialect's WebSockets of events: those of one VM, and all that the caller may see.

`?after=SEQ` begins with the recorded events above that number.
"""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from flask import g, request
from flask_sock import Sock
from simple_websocket import Server
from sqlalchemy.engine import Engine

from api.microvm import callers
from api.microvm.callers import Authenticate
from api.realtime.connection import NORMAL, ConnectionEnded, WsConnection, ws_connection
from api.realtime.hub import Hub
from api.realtime.listener import Interest
from api.realtime.upgrade import socket_blueprint
from api.web.requests import check_path
from api.web.views import mark
from core.contract.errors import Invalid
from core.database import transaction
from core.services import lookup
from core.services.context import Actor
from core.services.events import EventMessage


def register(sock: Sock, realtime: Hub, engine: Engine, authenticate: Authenticate) -> None:
    """Add both routes to `sock.app`."""
    blueprint = socket_blueprint(sock, "microvm_sockets", realtime)
    enter = partial(_enter, realtime, engine)

    def admit() -> None:
        """Who can be known before the handshake listens from before it: what happens right after it is heard."""
        check_path()
        g.interest = Interest(after=_after())
        callers.admit(sock.app, authenticate, enter)

    def events(ws: Server, vm_name: str | None = None) -> None:
        with ws_connection(ws, realtime) as connection:
            callers.ask(connection, sock.app, authenticate, enter)
            _serve(connection, realtime, vm_name)

    blueprint.before_request(admit)
    for path in ("/api/v1/vms/<vm_name>/events", "/api/v1/system/events"):
        sock.route(path, bp=blueprint, endpoint=path.split("/")[3])(mark("public", "uncounted")(events))
    sock.app.register_blueprint(blueprint)


def message(note: EventMessage, *, of_one_vm: bool) -> str:
    """An event as this dialect writes it. Without a VM of its own the socket says which, unless the data does."""
    data = {"host": note.host_name, **note.data} if note.vm_id is None else note.data
    body: dict[str, Any] = {"event_type": note.type, "timestamp": note.at, "data": data, "seq": note.seq}
    if of_one_vm or (note.vm_name is not None and "vm_name" not in data):
        body["vm_name"] = note.vm_name
    if note.vm_id is not None and not of_one_vm:
        body["vm_id"] = note.vm_id
    return json.dumps(body, separators=(",", ":"))


def _serve(connection: WsConnection, realtime: Hub, vm_name: str | None) -> None:
    def tell(note: EventMessage) -> None:
        connection.send(message(note, of_one_vm=vm_name is not None))
        if vm_name is not None and note.type == "vm_deleted":
            raise ConnectionEnded(NORMAL, "the VM was deleted")

    if "after" in request.args:
        connection.pass_on(tell, realtime.replay(connection.listener, g.interest))
    connection.serve(tell, lambda _: None, g.caller)


def _enter(realtime: Hub, engine: Engine, actor: Actor) -> None:
    """Let the listener hear what that caller may; `NotFound` for a VM that isn't theirs."""
    vm_name = (request.view_args or {}).get("vm_name")
    if vm_name is not None:
        with transaction(engine) as session:
            g.interest = Interest(vm_id=lookup.vm(session, actor, vm_name).id, after=g.interest.after)
    g.listener.actor = actor
    if "after" not in request.args:
        realtime.follow(g.listener, g.interest)


def _after() -> int:
    text = request.args.get("after", "0")
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise Invalid("after must be the number of an event", field="after")
    return int(text)
