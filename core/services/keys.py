"""API keys: random, shown once, stored as a hash, revocable."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.contract.errors import Invalid, NotFound, Unauthenticated
from core.models import ApiKey, User
from core.models.base import now
from core.services import users
from core.services.context import Actor
from core.services.paging import Ordering, Slice, sliced

MARK = "corral_"
"""What every key begins with, and no token does."""
ORDERING = Ordering(
    {"created_at": ApiKey.created_at, "name": ApiKey.name, "expires_at": ApiKey.expires_at},
    key=ApiKey.id,
    by="created_at",
    descending=True,
)


def create(
    session: Session, actor: Actor, name: str, access: str = "full", expires_at: datetime | None = None
) -> tuple[ApiKey, str]:
    """A new key of the caller's, and its secret, which nobody can show again."""
    actor.must_write()
    if expires_at is not None and expires_at <= now():
        raise Invalid("expires_at is in the past", field="expires_at")
    secret = MARK + secrets.token_urlsafe(32)
    key = ApiKey(
        user_id=actor.user_id,
        name=name,
        prefix=secret[: len(MARK) + 6],
        secret_sha256=_digest(secret),
        access=access,
        expires_at=expires_at,
    )
    session.add(key)
    session.flush()
    return key, secret


def list_of(session: Session, actor: Actor, wanted: Slice) -> tuple[list[ApiKey], int]:
    """A page of the caller's keys, newest first, and how many there are."""
    total = session.scalar(select(func.count()).select_from(ApiKey).where(ApiKey.user_id == actor.user_id)) or 0
    query = sliced(select(ApiKey).where(ApiKey.user_id == actor.user_id), ORDERING, wanted)
    return list(session.scalars(query)), total


def revoke(session: Session, actor: Actor, key_id: str) -> ApiKey:
    """End a key for good; again is no error. `NotFound` when it isn't the caller's."""
    actor.must_write()
    key = session.get(ApiKey, key_id, with_for_update=True)
    if key is None or (key.user_id != actor.user_id and not actor.is_admin):
        raise NotFound(f"API key '{key_id}' not found")
    key.revoked_at = key.revoked_at or now()
    return key


def authenticate(session: Session, secret: str) -> Actor:
    """The caller behind a key's secret; `Unauthenticated` when it is unknown, revoked or expired."""
    row = session.execute(
        select(ApiKey, User).join(User, User.id == ApiKey.user_id).where(ApiKey.secret_sha256 == _digest(secret))
    ).one_or_none()
    if row is None:
        raise Unauthenticated("invalid API key")
    key, user = row
    if key.revoked_at is not None:
        raise Unauthenticated("this API key was revoked")
    if key.expires_at is not None and key.expires_at <= now():
        raise Unauthenticated("this API key has expired")
    users.must_be_enabled(user)
    return Actor(user.id, user.username, user.role, read_only=key.access == "read", key_id=key.id)


def _digest(secret: str) -> str:
    # The secret is 256 random bits: a plain hash is enough, and an index finds it.
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
