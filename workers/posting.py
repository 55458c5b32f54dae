"""One POST to a webhook's URL: never to a private address, and with a time limit.

The name is looked up once, and the connection goes to the address that was judged: a name that changes its address in
between gains nothing. Redirects are not followed, and no proxy is asked.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from urllib.parse import SplitResult, urlsplit

from core.services.webhooks.reach import may_reach
from core.settings import Network

CONNECT_SECONDS = 5.0
SECONDS = 15.0
_READ_BYTES = 1024


class NotPosted(Exception):
    """Nothing was answered; the text says why, for the owner of the URL."""


def post(url: str, body: bytes, headers: Mapping[str, str], allowed: Sequence[Network]) -> int:
    """The status of the answer. `NotPosted` when the address is not allowed, or nothing is answered in time."""
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    address = _address(parts.hostname or "", port, allowed)
    overdue = threading.Event()
    try:
        with socket.create_connection((address, port), CONNECT_SECONDS) as plain:
            timer = threading.Timer(SECONDS, _cut, (plain, overdue))
            timer.start()
            try:
                connection = _connection(parts, port, plain)
                connection.request("POST", _target(parts), body, dict(headers))
                answer = connection.getresponse()
                answer.read(_READ_BYTES)
                if overdue.is_set():
                    raise TimeoutError
                return answer.status
            finally:
                timer.cancel()
    except ssl.SSLCertVerificationError as error:
        raise NotPosted(f"its certificate does not hold: {error.verify_message}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        if overdue.is_set() or isinstance(error, TimeoutError):
            raise NotPosted("it did not answer in time") from None
        raise NotPosted(_reason(error)) from None


def _address(name: str, port: int, allowed: Sequence[Network]) -> str:
    try:
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise NotPosted(f"the name '{name}' has no address") from None
    addresses = [str(sockaddr[0]) for *_, sockaddr in found]
    for address in addresses:
        if not may_reach(address, allowed):
            raise NotPosted(f"'{name}' has an address that webhooks may not reach: ask the operator to allow it")
    return addresses[0]


def _connection(parts: SplitResult, port: int, plain: socket.socket) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection(parts.hostname or "", port)
    if parts.scheme == "https":
        # The URL's own name is in the Host header and in the certificate, and its port in neither but when it is odd.
        connection.default_port = 443
        connection.sock = ssl.create_default_context().wrap_socket(plain, server_hostname=parts.hostname)
    else:
        connection.sock = plain
    return connection


def _target(parts: SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _cut(plain: socket.socket, overdue: threading.Event) -> None:
    overdue.set()
    with suppress(OSError):
        plain.shutdown(socket.SHUT_RDWR)


def _reason(error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "the connection was refused"
    if isinstance(error, OSError) and error.strerror:
        return f"the connection failed: {error.strerror}"
    return "its answer is no HTTP"
