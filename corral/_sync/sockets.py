# Made from corral/_async/sockets.py by scripts/unasync.py; change that file instead.
"""WebSockets of the API's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import websockets
from websockets.sync.client import ClientConnection, connect

from corral._sync.transport import Transport
from corral.errors import Unreachable


@contextmanager
def open_socket(transport: Transport, path: str) -> Iterator[ClientConnection]:
    """One that is open, and closed in the end; `Unreachable`, or the API's refusal."""
    try:
        headers = transport.authorization()
        connection = connect(transport.socket_url(path), additional_headers=headers, max_size=None)
    except websockets.InvalidStatus as error:
        raise transport.refusal(error.response.status_code, bytes(error.response.body or b"")) from None
    except (OSError, websockets.InvalidHandshake, TimeoutError) as error:
        raise Unreachable(f"{transport.access.url} does not answer ({type(error).__name__})") from None
    with connection:
        yield connection
