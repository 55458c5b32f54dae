"""The upgrade to every WebSocket: what can be refused is refused as plain HTTP, before the handshake."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable

from flask import Blueprint, g, request
from flask_sock import Sock

from api.realtime.hub import Hub
from api.realtime.listener import Listener
from api.realtime.ws_transport import WsTransport
from api.web.context import api_context
from api.web.limits import HANDSHAKES
from api.web.requests import source_ip
from core.contract.errors import Invalid, Unauthenticated
from core.services.context import Actor

MESSAGE_BYTES = 16 * 1024
PING_SECONDS = 10
# simple-websocket's own options; pings also find out, within twice their interval, who has gone without a word.
OPTIONS = {"ping_interval": PING_SECONDS, "max_message_size": MESSAGE_BYTES}


def socket_blueprint(sock: Sock, name: str, hub: Hub) -> Blueprint:
    """A blueprint for socket routes, to be registered on `sock.app`; each request has a `g.listener` of its own."""
    blueprint = Blueprint(name, __name__)
    sock.app.config.setdefault("SOCK_SERVER_OPTIONS", OPTIONS)

    def prepare() -> None:
        _check_handshake()
        _take_over()
        g.listener = hub.listen()

    def release(_: BaseException | None) -> None:
        listener: Listener | None = g.pop("listener", None)
        if listener is not None:
            hub.leave(listener)

    blueprint.before_request(prepare)
    blueprint.teardown_request(release)
    return blueprint


def admitted(authenticate: Callable[[], Actor]) -> Actor:
    """Who opens a socket, counted: their user by itself, and whoever shows no good credential by their address.

    Not the address alone: after a restart thousands of sockets behind one of them come back at once.
    """
    limits, stranger = api_context().limits, f"address:{source_ip()}"
    try:
        caller = authenticate()
    except Unauthenticated:
        limits.count(stranger, HANDSHAKES)
        raise
    limits.count(caller.user_id, HANDSHAKES)
    return caller


def _check_handshake() -> None:
    """wsproto's own refusal would be an exception in the middle of the handshake."""
    headers = request.headers
    if headers.get("Sec-WebSocket-Version") != "13":
        raise Invalid("only version 13 of WebSocket is supported (Sec-WebSocket-Version)")
    try:
        nonce = base64.b64decode(headers.get("Sec-WebSocket-Key", ""), validate=True)
    except (binascii.Error, ValueError):
        nonce = b""
    if len(nonce) != 16:
        raise Invalid("Sec-WebSocket-Key must be 16 bytes in base64")


def _take_over() -> None:
    """Put our wire under the WebSocket, without compression: zlib would take 300 kB for each."""
    environ = request.environ
    environ.pop("HTTP_SEC_WEBSOCKET_EXTENSIONS", None)
    for name in ("gunicorn.socket", "werkzeug.socket"):
        if name in environ:
            environ[name] = WsTransport(environ[name])
