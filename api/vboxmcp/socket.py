"""The vboxmcp dialect's WebSocket: authenticate, then subscribe to events.

In: `{"type": "auth", "api_key"}` first, within 10 s; `{"type": "subscribe", "events": [...], "vm_id"?, "after"?}`;
`{"type": "unsubscribe", "events"?: [...], "vm_id"?}`; those of consoles are in socket_consoles.py.
Out: `authenticated`, `subscribed`, `unsubscribed`, `{"type": "event", "event", "seq", "timestamp", "data"}`, and
`{"type": "error", "error": {"code", "message", "details"}}` for whatever could not be done.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import Any

from flask_sock import Sock
from simple_websocket import Server
from sqlalchemy.engine import Engine

from api.auditing import audit
from api.realtime.connection import WsConnection, ended_by, ws_connection
from api.realtime.console import Which
from api.realtime.hub import Hub
from api.realtime.listener import Interest
from api.realtime.upgrade import admitted, socket_blueprint
from api.vboxmcp import socket_events as words
from api.vboxmcp.socket_consoles import AT_ONCE, SocketConsoles, encoding_of
from api.web.requests import is_clean
from api.web.views import mark
from core.contract.errors import CorralError, Invalid, TooMany, Unauthenticated, Unavailable
from core.database import transaction
from core.services import calls, lookup
from core.services.context import Actor
from core.services.events import EventMessage

JSON = dict[str, Any]
_SUBSCRIPTIONS = 64
_MOST_AFTER = 2**62


def register(sock: Sock, realtime: Hub, engine: Engine, authenticate_key: Callable[[str], Actor]) -> None:
    """Add the route to `sock.app`."""
    blueprint = socket_blueprint(sock, "vboxmcp_socket", realtime)

    @mark("public", "uncounted")
    def ws(ws: Server) -> None:
        with ws_connection(ws, realtime) as connection:
            authenticate = partial(authenticate_key, _key(connection))
            try:
                connection.listener.actor = admitted(authenticate)
            except (Unauthenticated, TooMany) as error:
                _send(connection, _error(error))
                raise ended_by(error) from None
            _send(connection, {"type": "authenticated", "username": connection.listener.actor.username})
            client = _Client(connection, realtime, engine)
            with closing(client.consoles):
                connection.serve(client.tell, client.answer, authenticate, client.look_around)

    sock.route("/api/v1/ws", bp=blueprint)(ws)
    sock.app.register_blueprint(blueprint)


class _Client:
    """One authenticated client and what it has subscribed to."""

    def __init__(self, connection: WsConnection, realtime: Hub, engine: Engine) -> None:
        self._connection, self._realtime, self._engine = connection, realtime, engine
        self.consoles = SocketConsoles(realtime, partial(_send, connection))
        self._followed: dict[str | None, str] = {}
        self._verbs: dict[str, Callable[[JSON], None]] = {
            "subscribe": self._subscribe,
            "unsubscribe": self._unsubscribe,
            "console_connect": self._connect_console,
            "console_input": self._type,
            "console_disconnect": self._disconnect_console,
        }

    def tell(self, note: EventMessage) -> None:
        """Write an event, if this dialect has a word for it."""
        event = words.event_of(note)
        if event is not None:
            _send(self._connection, event)

    def answer(self, text: str | bytes) -> None:
        """Do what a message asks for; what can't be done is told, and the socket stays open."""
        try:
            body = _parsed(text)
            verb = self._verbs.get(str(body.get("type")))
            if verb is None:
                raise Invalid(f"type must be one of {', '.join(sorted(self._verbs))}", field="type")
            verb(body)
        except CorralError as error:
            _send(self._connection, _error(error))

    def _subscribe(self, body: JSON) -> None:
        listener = self._connection.listener
        if len(listener.interests) >= _SUBSCRIPTIONS:
            raise Invalid(f"a socket has at most {_SUBSCRIPTIONS} subscriptions; subscribe without vm_id")
        events = _events(body)
        after = _after(body)
        interest = Interest(words.types_of(events), self._vm_id(body), after or 0)
        answer = {"type": "subscribed", "events": events, "vm_id": interest.vm_id}
        if words.CONSOLE_OUTPUT in events:
            self._follow_consoles(interest.vm_id, encoding_of(body))
        if after is None:
            self._realtime.follow(listener, interest)
            _send(self._connection, answer)
            return
        _send(self._connection, answer)
        self._connection.pass_on(self.tell, self._realtime.replay(listener, interest))

    def _unsubscribe(self, body: JSON) -> None:
        listener = self._connection.listener
        types = words.types_of(_events(body)) if "events" in body else words.ALL_TYPES
        vm_id = self._vm_id(body)
        kept = []
        for interest in listener.interests:
            left = (interest.types or frozenset()) - types
            if vm_id is not None and interest.vm_id != vm_id:
                kept.append(interest)
            elif left:
                kept.append(Interest(left, interest.vm_id, interest.after))
        self._realtime.unfollow(listener, tuple(kept))
        if words.types_of([words.CONSOLE_OUTPUT]) <= types:
            self._unfollow_consoles(vm_id)
        _send(self._connection, {"type": "unsubscribed", "events": words.events_of(types), "vm_id": vm_id})

    def look_around(self) -> None:
        """Find the consoles that are to be followed and have something to say by now."""
        for vm_id, encoding in list(self._followed.items()):
            try:
                with transaction(self._engine) as session:
                    found = calls.consoles(session, self._caller(), vm_id, AT_ONCE)
            except Unavailable:
                return  # next time
            self.consoles.follow([Which(host, vm, replay=False) for host, vm in found], encoding)

    def _follow_consoles(self, vm_id: str | None, encoding: str) -> None:
        self._followed[vm_id] = encoding
        self.look_around()

    def _unfollow_consoles(self, vm_id: str | None) -> None:
        for each in [vm_id] if vm_id else list(self._followed):
            self._followed.pop(each, None)
        self.consoles.unfollow(vm_id)

    def _connect_console(self, body: JSON) -> None:
        read_only = body.get("read_only", False)
        if type(read_only) is not bool:
            raise Invalid("read_only must be true or false", field="read_only")
        encoding = encoding_of(body)
        self.consoles.connect(self._console(body, write=not read_only), encoding)

    def _type(self, body: JSON) -> None:
        data = body.get("data")
        if not isinstance(data, str):
            raise Invalid("data must be a string", field="data")
        self._caller().must_write()
        self.consoles.type(self._required_vm_id(body), data)

    def _disconnect_console(self, body: JSON) -> None:
        self.consoles.disconnect(self._required_vm_id(body))

    def _console(self, body: JSON, *, write: bool) -> Which:
        vm_id, actor = self._required_vm_id(body), self._caller()
        with transaction(self._engine) as session:
            host, vm = calls.to_console(session, actor, vm_id)
            which = Which(host, vm, write and not actor.read_only)
            if which.write:
                audit.console_opened(session, actor, vm)
        return which

    def _caller(self) -> Actor:
        actor = self._connection.listener.actor
        if actor is None:
            raise Unauthenticated("this socket is not authenticated yet: send an auth message first")
        return actor

    def _required_vm_id(self, body: JSON) -> str:
        vm_id = self._vm_id(body)
        if vm_id is None:
            raise Invalid("vm_id is required", field="vm_id")
        return vm_id

    def _vm_id(self, body: JSON) -> str | None:
        """The id of the VM asked for, by id or name; `NotFound`."""
        ref, actor = body.get("vm_id"), self._connection.listener.actor
        if ref is None or actor is None:
            return None
        if not isinstance(ref, str) or not is_clean(ref):
            raise Invalid("vm_id must be a string", field="vm_id")
        with transaction(self._engine) as session:
            return lookup.vm(session, actor, ref).id


def _key(connection: WsConnection) -> str:
    """The key in the first message."""
    try:
        body = _parsed(connection.first_message())
        key = body.get("api_key")
        if body.get("type") != "auth" or not isinstance(key, str):
            raise Unauthenticated('the first message must be {"type": "auth", "api_key": "..."}')
        return key
    except (Invalid, Unauthenticated) as error:
        refused = Unauthenticated(error.message)
        _send(connection, _error(refused))
        raise ended_by(refused) from None


def _parsed(text: str | bytes) -> JSON:
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        raise Invalid("the message is not JSON") from None
    if not isinstance(body, dict):
        raise Invalid("the message is not a JSON object")
    return body


def _events(body: JSON) -> list[str]:
    events = body.get("events")
    known = words.events_of(words.ALL_TYPES)
    if not isinstance(events, list) or not events or not all(event in known for event in events):
        raise Invalid(f"events must be a list of some of {', '.join(known)}", field="events")
    return sorted(set(events))


def _after(body: JSON) -> int | None:
    after = body.get("after")
    if after is not None and (type(after) is not int or not 0 <= after < _MOST_AFTER):
        raise Invalid("after must be the number of an event", field="after")
    return after


def _error(error: CorralError) -> JSON:
    return {"type": "error", "error": {"code": error.code, "message": error.message, "details": error.details}}


def _send(connection: WsConnection, body: JSON) -> None:
    connection.send(json.dumps(body, separators=(",", ":")))
