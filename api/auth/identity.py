"""Authentication of each request, once, by a token or an API key."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, overload

from flask import Flask, Request, g, request

from api.auth import tokens
from api.web.context import api_context
from api.web.requests import request_id
from api.web.views import marked
from core.contract.errors import Unauthenticated
from core.services import keys, users
from core.services.context import Actor


def install_first(app: Flask) -> None:
    """Note who is calling before the limits are counted, which are a user's."""
    app.before_request(_note)


def install_last(app: Flask) -> None:
    """After the limits, refuse whoever is not known."""
    app.before_request(_require)


@overload
def actor() -> Actor: ...
@overload
def actor(*, required: Literal[False]) -> Actor | None: ...
def actor(*, required: bool = True) -> Actor | None:
    """The caller; `Unauthenticated` when a credential does not hold, or when there must be one."""
    if "actor" not in g:
        _note_anyway()
    if g.unknown is not None:
        raise g.unknown
    if g.actor is None and required:
        raise Unauthenticated("Authentication required")
    found: Actor | None = g.actor
    return found


def authenticate() -> Actor | None:
    """The caller behind the credential, None without one; `Unauthenticated` for one that does not hold.

    An API key goes before a token, as it does when the dialect is chosen. As a bearer either is taken, so that a
    program may speak microvm with a key, which lives as long as it is wanted.
    """
    key, header = request.headers.get("X-API-Key"), request.headers.get("Authorization")
    if key is None and header is None:
        return None
    token = tokens.bearer(header) if key is None and header is not None else ""
    if token.startswith(keys.MARK):
        key = token
    subject = tokens.subject(token) if key is None else ("", 0)
    with api_context().reading() as session:
        found = keys.authenticate(session, key) if key is not None else users.actor(session, *subject)
    return replace(found, request_id=request_id())


def by_header(_request: Request) -> Actor:
    """The caller of a request that is looked at outside its views, such as a socket's; `Unauthenticated`."""
    found = authenticate()
    if found is None:
        raise Unauthenticated("Authentication required")
    return found


def caller_or_error() -> Actor | Unauthenticated:
    """Who is calling, or why that is not known."""
    try:
        return authenticate() or Unauthenticated("Authentication required")
    except Unauthenticated as error:
        return error


def note(caller: Actor | Unauthenticated) -> None:
    """From now on, the caller of the present request is known, or is known to be none."""
    known = isinstance(caller, Actor)
    g.actor, g.unknown = (caller, None) if known else (None, caller)


def _note() -> None:
    if not marked("public") and not marked("prompt"):
        _note_anyway()


def _note_anyway() -> None:
    g.actor, g.unknown = None, None
    try:
        g.actor = authenticate()
    except Unauthenticated as error:
        g.unknown = error


def _require() -> None:
    if request.endpoint is not None and request.method != "OPTIONS" and not marked("public") and not marked("prompt"):
        actor()
