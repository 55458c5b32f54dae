"""The key of the server for a join token, read from its certificate, so that the new host recognizes the server."""

from __future__ import annotations

import base64
import shlex
import socket
import ssl
from dataclasses import replace
from urllib.parse import urlsplit

import click

from core import pins
from core.contract import joining

_SECONDS = 10


def pinned(word: str, url: str) -> str:
    """The token with the key of its server in it, where that is spoken to over TLS.

    A server behind a proxy does not know that it is; we do, who have come to it by `url`.
    """
    token = joining.read(word)
    if url.startswith("https:") and token.url.startswith("http:"):
        token = replace(token, url=url)
    if not token.url.startswith("https:"):
        return word
    return joining.written(replace(token, pin=_key(token.url)))


def fetching(word: str, path: str) -> str:
    """What fetches a file of the token's server in a shell, from the server with that key alone."""
    token = joining.read(word)
    known = base64.b64encode(bytes.fromhex(token.pin)).decode()
    check = f"k --pinnedpubkey sha256//{known}" if token.pin else ""
    return f"curl -fsS{check} {shlex.quote(token.url.rstrip('/') + path)}"


def _key(url: str) -> str:
    parts = urlsplit(url)
    host = parts.hostname or ""
    context = ssl.create_default_context()
    try:
        with (
            socket.create_connection((host, parts.port or 443), _SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=host) as secured,
        ):
            return pins.key_of(secured.getpeercert(binary_form=True) or b"")
    except OSError as error:
        raise click.ClickException(f"the certificate of {url} can't be read: {error}") from None
