"""Asks the API to let this machine be a host: over TLS to the server whose key the token names, and to no other."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import socket
import ssl
import time
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import SplitResult, urlsplit

from core import pins
from core.contract.errors import Invalid
from core.contract.joining import Join, Joined, Token
from core.contract.messages import decode, encode

_SECONDS = 15
_MOST_BYTES = 2**20


class Refused(Exception):
    """The fleet did not let it in, or could not be asked; the message says what to do.

    `may_have_joined`: what was asked may have been granted all the same, so that the same has to be asked again.
    """

    def __init__(self, message: str, *, may_have_joined: bool = False) -> None:
        super().__init__(message)
        self.may_have_joined = may_have_joined


def ask(token: Token, host: str, secret: str, version: str) -> Joined:
    """The fleet's answer; `Refused`."""
    asked = Join(token.id, token.secret, host, hashlib.sha256(secret.encode()).hexdigest(), version, time.time())
    status, body = _posted(token, encode(asked))
    if status == 200:
        try:
            return decode(Joined, body)
        except Invalid as error:
            raise Refused(f"the answer of {token.url} can't be read ({error.message})", may_have_joined=True) from None
    raise _refusal(token, status, body)


def _posted(token: Token, body: str) -> tuple[int, bytes]:
    parts = urlsplit(token.url)
    connection = _connection(parts, token.pin)
    try:
        connection.connect()
        if token.pin:
            _check_pin(connection, token)
        path = f"{parts.path.rstrip('/')}/api/v1/join"
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read(_MOST_BYTES)
    except ssl.SSLCertVerificationError as error:
        raise Refused(f"the certificate of {token.url} is not valid: {error.verify_message}") from None
    except (OSError, HTTPException) as error:
        raise Refused(
            f"the API at {token.url} can't be reached from here ({_words(error)}): check the address and"
            " the firewall, then use the same line again",
            may_have_joined=True,
        ) from None
    finally:
        connection.close()


def _connection(parts: SplitResult, pin: str) -> HTTPConnection:
    address, host = parts.geturl(), parts.hostname or ""
    if parts.scheme == "https":
        context = ssl.create_default_context()
        if pin:  # the key itself is known, whoever has signed it
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return HTTPSConnection(host, parts.port, timeout=_SECONDS, context=context)
    if parts.scheme != "http" or not _is_here(host):
        raise Refused(
            f"{address} is not an https address, so another machine could pose as the fleet: put a proxy with TLS"
            " before"
            " the API, and set CORRAL_PUBLIC_URL of the API to the proxy's address"
        )
    return HTTPConnection(host, parts.port, timeout=_SECONDS)


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_pin(connection: HTTPConnection, token: Token) -> None:
    """Nothing has been sent yet."""
    found: Any = connection.sock
    shown = pins.key_of(found.getpeercert(binary_form=True))
    if shown != token.pin:
        raise Refused(
            f"{token.url} has the certificate key {shown[:16]}…, but the token expects {token.pin[:16]}…: if the"
            " certificate"
            " has a new key, have an administrator make a new token; otherwise someone may intercept the connection"
        )


def _refusal(token: Token, status: int, body: bytes) -> Refused:
    try:
        told = json.loads(body)
        message = str(told["message"])
    except (ValueError, LookupError, TypeError):
        message = f"{token.url} is not a fleet of this release: it answered {status}"
    return Refused(message, may_have_joined=status >= 500)


def _words(error: Exception) -> str:
    if isinstance(error, socket.gaierror):
        return "no such name"
    return str(getattr(error, "strerror", None) or error or type(error).__name__)
