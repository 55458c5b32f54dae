"""The caller of a WebSocket of the microvm dialect.

A header (`Authorization: Bearer`, `X-API-Key`) is looked at before the handshake. A browser can't send one: without
a credential the first message must be `{"type": "auth", "token": "<token>"}`, within 10 s, and is answered with
`{"type": "authenticated"}`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import Flask, Request, g, request

from api.realtime.connection import WsConnection
from api.realtime.upgrade import admitted
from core.contract.errors import Unauthenticated
from core.services.context import Actor

Authenticate = Callable[[Request], Actor]
Enter = Callable[[Actor], None]


@dataclass(frozen=True)
class Caller:
    """Looks at one credential as often as it is asked, each time as if in a new request."""

    app: Flask
    environ: dict[str, Any]
    authenticate: Authenticate

    def __call__(self) -> Actor:
        with self.app.app_context(), self.app.request_context(self.environ):
            return self.authenticate(request)


def admit(app: Flask, authenticate: Authenticate, enter: Enter) -> None:
    """Before the handshake: who shows a credential in a header is `g.caller`, and `enter`s."""
    if "Authorization" in request.headers or "X-API-Key" in request.headers:
        g.caller = Caller(app, dict(request.environ), authenticate)
        enter(admitted(g.caller))


def ask(connection: WsConnection, app: Flask, authenticate: Authenticate, enter: Enter) -> None:
    """After it: who showed none has to say so first."""
    if "caller" not in g:
        environ = _with_token(connection.first_message())
        g.caller = Caller(app, environ, authenticate)
        enter(admitted(g.caller))
        connection.send('{"type":"authenticated"}')


def _with_token(text: str | bytes) -> dict[str, Any]:
    """The handshake as it would have been with the credential of the first message."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        body = None
    token = body.get("token") if isinstance(body, dict) and body.get("type") == "auth" else None
    if not isinstance(token, str) or not token.isascii():
        raise Unauthenticated('the first message must be {"type": "auth", "token": "..."}')
    return {**request.environ, "HTTP_AUTHORIZATION": f"Bearer {token}"}
