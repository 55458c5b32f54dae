"""The tools over streamable HTTP, for many agents.

Each request brings an API key or a token of the fleet's and is carried out as that caller. Nothing is kept between two.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextvars import ContextVar

import uvicorn
from mcp.server.transport_security import TransportSecuritySettings
from starlette.types import ASGIApp, Receive, Scope, Send

from cli.mcp.server import make
from corral import AsyncClient

PATH = "/mcp"
_client: ContextVar[AsyncClient] = ContextVar("client")


def serve(url: str, host: str, port: int, names: Sequence[str], *, read_only: bool, longest_ttl: int) -> None:
    """Serve the fleet at that URL until interrupted. `names`: what else `Host` headers may say."""
    hosts = [spelled for name in ("localhost", host, *names) for spelled in (name, f"{name}:*")]
    origins = [f"{scheme}://{each}" for scheme in ("http", "https") for each in hosts]
    app = make(_client.get, read_only=read_only, longest_ttl=longest_ttl).streamable_http_app(
        streamable_http_path=PATH,
        stateless_http=True,
        json_response=True,
        transport_security=TransportSecuritySettings(allowed_hosts=hosts, allowed_origins=origins),
    )
    uvicorn.run(AsCaller(app, url), host=host, port=port, log_level="warning", access_log=False, server_header=False)


class AsCaller:
    """Lets requests with a credential through, each with a client of its own; others are answered 401."""

    def __init__(self, app: ASGIApp, url: str) -> None:
        self._app, self._url = app, url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        token = _token(scope)
        if not token:
            await _refuse(send)
            return
        async with AsyncClient(self._url, token) as client:
            mark = _client.set(client)
            try:
                await self._app(scope, receive, send)
            finally:
                _client.reset(mark)


def _token(scope: Scope) -> str:
    headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
    scheme, _, token = headers.get(b"authorization", "").partition(" ")
    return str(token.strip() if scheme.lower() == "bearer" else headers.get(b"x-api-key", ""))


async def _refuse(send: Send) -> None:
    body = json.dumps({"error": "send an API key or a token of the fleet: Authorization: Bearer <key>"}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"www-authenticate", b"Bearer"),
    ]
    await send({"type": "http.response.start", "status": 401, "headers": headers})
    await send({"type": "http.response.body", "body": body})
