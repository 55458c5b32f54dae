"""Users and passwords."""

from __future__ import annotations

import re
from functools import cache
from typing import cast

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError
from sqlalchemy import Table, bindparam, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from core.contract.errors import Conflict, Forbidden, Invalid, NotFound, Unauthenticated
from core.database import violates
from core.models import User
from core.models.base import now
from core.prepared import PREPARED
from core.services.context import Actor
from core.services.paging import Ordering, Slice, sliced

USERNAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
PASSWORD_LENGTHS = (8, 256)
# OWASP's smallest argon2id setting (19 MiB, 2 passes): a login costs a worker about 30 ms and little memory.
_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
# Made once, and for columns only: this runs in every request.
_USERS = cast(Table, User.__table__).c
_ACTOR = (
    select(_USERS.id, _USERS.username, _USERS.role, _USERS.token_version, _USERS.disabled_at)
    .where(_USERS.id == bindparam("user_id"))
    .execution_options(**PREPARED)
)


ORDERING = Ordering(
    {"username": User.username, "created_at": User.created_at, "role": User.role}, key=User.id, by="username"
)


@cache
def decoy() -> str:
    """Verified against when there is no such user, so that time tells nothing about who exists."""
    return _hasher.hash("nobody's password")


def page(session: Session, actor: Actor, wanted: Slice) -> tuple[list[User], int]:
    """A page of all accounts, and how many there are, for administrators."""
    actor.must_see_all()
    total = session.scalar(select(func.count()).select_from(User)) or 0
    return list(session.scalars(sliced(select(User), ORDERING, wanted))), total


def register(session: Session, actor: Actor | None, username: str, password_hash: str, role: str) -> User:
    """A new account. Only an administrator makes another: otherwise `Forbidden`. `Conflict` when the name is taken."""
    if role == "admin" and (actor is None or not actor.is_admin or actor.read_only):
        raise Forbidden("only an administrator may register an administrator")
    if not USERNAME.fullmatch(username):
        raise Invalid(
            "a username must have 1 to 64 letters, digits, '.', '_', '@' or '-', and begin with a letter or digit",
            field="username",
        )
    user = User(username=username, password_hash=password_hash, role=role)
    session.add(user)
    try:
        session.flush()
    except IntegrityError as error:
        if violates(error, "uq_users_username"):
            raise Conflict(f"user '{username}' already exists") from None
        raise
    return user


def add(session: Session, username: str, password: str, role: str) -> User:
    """An account, without asking who wants it."""
    return register(session, Actor("", "", "admin"), username, hashed(password), role)


def hashed(password: str) -> str:
    """What is kept of a password; tens of milliseconds of a processor. `Invalid` for one that is too short or long."""
    low, high = PASSWORD_LENGTHS
    if not low <= len(password) <= high:
        raise Invalid(f"a password must have {low} to {high} characters", field="password")
    return _hasher.hash(password)


def matches(password_hash: str, password: str) -> bool:
    """Whether that is the password; as long as `hashed`."""
    try:
        return _hasher.verify(password_hash, password)
    except (VerifyMismatchError, InvalidHashError):
        return False


def set_password(session: Session, username: str, password_hash: str) -> User:
    """A new password for an account; its tokens do not hold any more, its API keys do."""
    user = by_name(session, username)
    user.password_hash, user.token_version = password_hash, user.token_version + 1
    return user


def by_name(session: Session, username: str) -> User:
    """The account, locked; `NotFound`."""
    user = session.scalar(select(User).where(User.username == username).with_for_update(key_share=True))
    if user is None:
        raise NotFound(f"user '{username}' not found")
    return user


def enable(session: Session, actor: Actor, username: str, *, enabled: bool) -> User:
    """Let a user in, or none of their credentials any more; their VMs stay as they are. For administrators."""
    actor.must_administer()
    user = by_name(session, username)
    if user.id == actor.user_id:
        raise Conflict("you can't disable your own account", code="invalid_state")
    user.disabled_at = None if enabled else user.disabled_at or now()
    return user


def revoke_tokens(session: Session, actor: Actor, username: str) -> User:
    """End all tokens of a user, who logs in anew; for themselves and administrators."""
    actor.must_write()
    if username != actor.username:
        actor.must_administer()
    user = by_name(session, username)
    user.token_version += 1
    return user


def must_be_enabled(user: User) -> None:
    """`Unauthenticated` for an account that an administrator has disabled."""
    if user.disabled_at is not None:
        raise Unauthenticated("this account is disabled; ask an administrator")


def actor(session: Session, user_id: str, token_version: int) -> Actor:
    """The caller behind a token; `Unauthenticated` when the account is gone or disabled, or the token revoked."""
    found = session.execute(_ACTOR, {"user_id": user_id}).one_or_none()
    if found is None:
        raise Unauthenticated("the account of this token no longer exists; log in again")
    if found.disabled_at is not None:
        raise Unauthenticated("this account is disabled; ask an administrator")
    if found.token_version != token_version:
        raise Unauthenticated("this token was revoked; log in again")
    return Actor(found.id, found.username, found.role)


def count(session: Session) -> int:
    """How many accounts there are."""
    return session.scalar(select(func.count()).select_from(User)) or 0
