"""Joining: the join token, the request of the agent, and its answer."""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass

from core.contract.bounds import Line, Moment, Name
from core.contract.errors import Invalid
from core.contract.messages import decode, encode

_MARK = "corral1."
_CHECK_BYTES = 4


@dataclass(frozen=True)
class Token:
    """The join token that is pasted on a new host. `url`: of the API; `host`: the host's name, empty for any.

    `pin`: the SHA-256 of the public key of the API's certificate, in hex; empty over plain HTTP.
    """

    url: Line
    id: Name
    secret: Name
    host: str = ""
    pin: str = ""


@dataclass(frozen=True)
class Join:
    """Let this machine be a host. `secret_sha256`: of the secret that its agent has made and keeps, in hex.

    `at`: the time there, so that a clock that is off is found before it does harm.
    """

    token: Name
    secret: Name
    host: str
    secret_sha256: str
    version: Name
    at: Moment


@dataclass(frozen=True)
class Joined:
    """The answer to a join. `redis_url` has neither name nor password: they are `account` and the agent's own secret.

    `redis_ca`: the certificate, in PEM, by which Redis is known; empty where the machine's own will do.
    """

    host: Name
    account: Name
    redis_url: Line
    redis_ca: str = ""


def written(token: Token) -> str:
    """As one word that survives a terminal, with a check against what a hand may have lost."""
    text = encode(token).encode()
    return _MARK + base64.urlsafe_b64encode(_check(text) + text).decode().rstrip("=")


def read(word: str) -> Token:
    """The token again; `Invalid` for what is none, or no whole one."""
    if not word.startswith(_MARK):
        raise Invalid(f"this is not a join token: a join token begins with '{_MARK}'")
    body = word.removeprefix(_MARK)
    try:
        data = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        data = b""
    check, text = data[:_CHECK_BYTES], data[_CHECK_BYTES:]
    if not text or check != _check(text):
        raise Invalid("the join token is incomplete: copy the whole line again")
    return decode(Token, text)


def _check(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()[:_CHECK_BYTES]
