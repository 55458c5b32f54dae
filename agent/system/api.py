"""Connections to the fleet's API: over TLS to the server that is known, or without it on this machine alone."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from http.client import HTTPConnection, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from core import pins
from core.contract.errors import CorralError


class Unsafe(CorralError):
    """Nothing was sent: anyone on the way could pose as the fleet. The message says what to do."""


def connect(url: str, pin: str, seconds: float, *, only_pinned: bool = True) -> HTTPConnection:
    """A connection that is open. `pin`: the SHA-256 of the server's public key, in hex, whoever has signed it.

    Without `only_pinned` a server that this machine's authorities vouch for will do as well: its key may be a new one.
    Errors: `Unsafe`, `OSError`.
    """
    if not only_pinned or not pin:
        try:
            return _opened(url, ssl.create_default_context(), seconds)
        except ssl.SSLCertVerificationError as error:
            if not pin:
                raise Unsafe(f"the certificate of {url} is not valid: {error.verify_message}") from None
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # the key itself is known
    connection = _opened(url, context, seconds)
    if isinstance(connection, HTTPSConnection):
        try:
            _check_pin(connection, url, pin)
        except Unsafe:
            connection.close()
            raise
    return connection


def words(error: Exception) -> str:
    """Why a connection was not made, or broke."""
    if isinstance(error, socket.gaierror):
        return "no such name"
    return str(getattr(error, "strerror", None) or error or type(error).__name__)


def _opened(url: str, context: ssl.SSLContext, seconds: float) -> HTTPConnection:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "https":
        connection: HTTPConnection = HTTPSConnection(host, parts.port, timeout=seconds, context=context)
    elif parts.scheme == "http" and _is_here(host):
        connection = HTTPConnection(host, parts.port, timeout=seconds)
    else:
        raise Unsafe(
            f"{url} is not an https address, so another machine could pose as the fleet: put a proxy with TLS before"
            " the API, and set CORRAL_PUBLIC_URL of the API to the proxy's address"
        )
    connection.connect()
    return connection


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_pin(connection: HTTPConnection, url: str, pin: str) -> None:
    found: Any = connection.sock
    shown = pins.key_of(found.getpeercert(binary_form=True))
    if shown != pin:
        raise Unsafe(
            f"{url} has the certificate key {shown[:16]}…, but the token expects {pin[:16]}…: if the certificate"
            " has a new key, have an administrator make a new token; otherwise someone may intercept the connection"
        )
