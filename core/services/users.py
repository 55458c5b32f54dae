"""Accounts and passwords."""

from __future__ import annotations

import re
from datetime import timedelta
from functools import cache
from typing import cast

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError
from sqlalchemy import Table, bindparam, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from core.contract.errors import Conflict, Forbidden, Invalid, TooMany, Unauthenticated
from core.database import violates
from core.models import User
from core.models.base import now
from core.prepared import PREPARED
from core.services.context import Actor

USERNAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
PASSWORD_LENGTHS = (8, 256)
FREE_TRIES = 5
_LONGEST_PAUSE = timedelta(minutes=5)
# OWASP's smallest argon2id setting (19 MiB, 2 passes): a login costs a worker about 30 ms and little memory.
_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
# Made once, and for columns only: this runs in every request.
_USERS = cast(Table, User.__table__).c
_ACTOR = (
    select(_USERS.id, _USERS.username, _USERS.role)
    .where(_USERS.id == bindparam("user_id"))
    .execution_options(**PREPARED)
)


@cache
def _decoy() -> str:
    """Verified against when there is no such user, so that time tells nothing about who exists."""
    return _hasher.hash("nobody's password")


def register(session: Session, actor: Actor | None, username: str, password: str, role: str) -> User:
    """A new account. Only an administrator makes another: otherwise `Forbidden`. `Conflict` when the name is taken."""
    if role == "admin" and (actor is None or not actor.is_admin or actor.read_only):
        raise Forbidden("only an administrator may register an administrator")
    return add(session, username, password, role)


def add(session: Session, username: str, password: str, role: str) -> User:
    """The account itself, without asking who wants it."""
    if not USERNAME.fullmatch(username):
        raise Invalid(
            "a username has 1 to 64 letters, digits, '.', '_', '@' or '-', and begins with a letter or digit",
            field="username",
        )
    low, high = PASSWORD_LENGTHS
    if not low <= len(password) <= high:
        raise Invalid(f"a password has {low} to {high} characters", field="password")
    user = User(username=username, password_hash=_hasher.hash(password), role=role)
    session.add(user)
    try:
        session.flush()
    except IntegrityError as error:
        if violates(error, "uq_users_username"):
            raise Conflict(f"user '{username}' already exists") from None
        raise
    return user


def login(session: Session, username: str, password: str) -> User | None:
    """The user, or None for a wrong name or password (the failure must be committed, so it is no exception).

    After `FREE_TRIES` wrong passwords each next try must wait, twice as long each time: `TooMany`.
    """
    user = session.scalar(select(User).where(User.username == username).with_for_update())
    if user is None:
        _matches(_decoy(), password)
        return None
    if user.next_try_at and user.next_try_at > now():
        seconds = int((user.next_try_at - now()).total_seconds()) + 1
        raise TooMany(f"too many wrong passwords; try again in {seconds} s", retry_after_seconds=seconds)
    if _matches(user.password_hash, password):
        user.failed_logins, user.next_try_at = 0, None
        return user
    user.failed_logins += 1
    if user.failed_logins >= FREE_TRIES:
        pause = timedelta(seconds=2 ** min(user.failed_logins - FREE_TRIES + 1, 20))
        user.next_try_at = now() + min(pause, _LONGEST_PAUSE)
    return None


def set_password(session: Session, username: str, password: str) -> User:
    """A new password for an account, which also ends its pause."""
    user = session.scalar(select(User).where(User.username == username).with_for_update())
    if user is None:
        raise Invalid(f"there is no user '{username}'")
    user.password_hash, user.failed_logins, user.next_try_at = _hasher.hash(password), 0, None
    return user


def actor(session: Session, user_id: str) -> Actor:
    """The caller behind a token's subject; `Unauthenticated` when the account is gone."""
    found = session.execute(_ACTOR, {"user_id": user_id}).one_or_none()
    if found is None:
        raise Unauthenticated("the account of this token no longer exists; log in again")
    return Actor(*found)


def count(session: Session) -> int:
    """How many accounts there are."""
    return session.scalar(select(func.count()).select_from(User)) or 0


def _matches(password_hash: str, password: str) -> bool:
    try:
        return _hasher.verify(password_hash, password)
    except (VerifyMismatchError, InvalidHashError):
        return False
