"""WebSockets of the API's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import websockets
from websockets.asyncio.client import ClientConnection, connect

from corral._async.transport import AsyncTransport
from corral.errors import Unreachable


@asynccontextmanager
async def open_socket(transport: AsyncTransport, path: str) -> AsyncIterator[ClientConnection]:
    """One that is open, and closed in the end; `Unreachable`, or the API's refusal."""
    try:
        headers = await transport.authorization()
        connection = await connect(transport.socket_url(path), additional_headers=headers, max_size=None)
    except websockets.InvalidStatus as error:
        raise transport.refusal(error.response.status_code, bytes(error.response.body or b"")) from None
    except (OSError, websockets.InvalidHandshake, TimeoutError) as error:
        raise Unreachable(f"{transport.access.url} does not answer ({type(error).__name__})") from None
    async with connection:
        yield connection
