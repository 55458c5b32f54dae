"""Sends the join request to the API, over TLS and only to the server whose key the token names."""

from __future__ import annotations

import hashlib
import json
import time
from contextlib import closing
from http.client import HTTPException
from urllib.parse import urlsplit

from agent.system import api
from core.contract.errors import Invalid
from core.contract.joining import Join, Joined, Token
from core.contract.messages import decode, encode

_SECONDS = 15
_MOST_BYTES = 2**20


class JoinRefused(Exception):
    """The fleet did not let it in, or could not be asked; the message says what to do.

    `may_have_joined`: what was asked may have been granted all the same, so that the same has to be asked again.
    """

    def __init__(self, message: str, *, may_have_joined: bool = False) -> None:
        super().__init__(message)
        self.may_have_joined = may_have_joined


def ask(token: Token, host: str, secret: str, version: str) -> Joined:
    """The fleet's answer; `JoinRefused`."""
    asked = Join(token.id, token.secret, host, hashlib.sha256(secret.encode()).hexdigest(), version, time.time())
    status, body = _posted(token, encode(asked))
    if status == 200:
        try:
            return decode(Joined, body)
        except Invalid as error:
            raise JoinRefused(
                f"the answer of {token.url} can't be read ({error.message})", may_have_joined=True
            ) from None
    raise _refusal(token, status, body)


def _posted(token: Token, body: str) -> tuple[int, bytes]:
    path = f"{urlsplit(token.url).path.rstrip('/')}/api/v1/join"
    try:
        with closing(api.connect(token.url, token.pin, _SECONDS)) as connection:
            connection.request("POST", path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, response.read(_MOST_BYTES)
    except api.Unsafe as unsafe:
        raise JoinRefused(unsafe.message) from None
    except (OSError, HTTPException) as error:
        raise JoinRefused(
            f"the API at {token.url} can't be reached from here ({api.words(error)}): check the address and"
            " the firewall, then use the same line again",
            may_have_joined=True,
        ) from None


def _refusal(token: Token, status: int, body: bytes) -> JoinRefused:
    try:
        told = json.loads(body)
        message = str(told["message"])
    except (ValueError, LookupError, TypeError):
        message = f"{token.url} is not a fleet of this release: it answered {status}"
    return JoinRefused(message, may_have_joined=status >= 500)
