"""Password hashes, computed beside the event loop, which would stop for each of them."""

from __future__ import annotations

from api.web.beside import beside
from api.web.context import api_context
from api.web.requests import source_ip
from core.contract.errors import Unauthenticated
from core.models import User
from core.services import logins, users


def login(username: str, password: str) -> User:
    """The user; `Unauthenticated` for a wrong name or password, `TooMany` after several."""
    with api_context().transaction() as session:
        attempt = logins.begin(session, username, source_ip())
    if not beside(lambda: attempt.matches(password)):
        raise Unauthenticated("wrong username or password")
    with api_context().transaction() as session:
        return logins.succeeded(session, attempt)


def change(username: str, current: str, new: str) -> User:
    """The user with their new password; the present one is asked for as at a login."""
    login(username, current)
    password_hash = hashed(new)
    with api_context().transaction() as session:
        return users.set_password(session, username, password_hash)


def hashed(password: str) -> str:
    """What is kept of a password; `Invalid` for one that is too short or long."""
    return beside(lambda: users.hashed(password))
