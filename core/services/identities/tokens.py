"""Join tokens: made by administrators, shown once, stored as a hash, valid for some machines and some time."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.contract.errors import Conflict, Invalid, NotFound
from core.models import Host, JoinToken
from core.models.base import now
from core.services.context import Actor
from core.services.identities.accounts import digest
from core.services.paging import Ordering, Slice, sliced

LONGEST_SECONDS, MOST_USES = 30 * 86400, 1000
ORDERING = Ordering(
    {"created_at": JoinToken.created_at, "expires_at": JoinToken.expires_at},
    key=JoinToken.id,
    by="created_at",
    descending=True,
)


def create(
    session: Session,
    actor: Actor,
    *,
    host: str | None,
    replaces: bool,
    ttl_seconds: int,
    uses: int,
    labels: Mapping[str, str],
) -> tuple[JoinToken, str]:
    """A new token and its secret, which nobody can show again.

    `labels`: what hosts that join with it have from then on.

    `Conflict` if the name is a host's, unless the token is to replace what that host has; `NotFound` then, if there is
    no such host.
    """
    actor.must_administer()
    if host is None and replaces:
        raise Invalid("host is required for a host that joins again", field="host")
    if labels and replaces:
        raise Invalid("a host that joins again keeps its labels: change them with `corral host label`", field="labels")
    if host is not None:
        if uses > 1:
            raise Invalid("a join token for a named host has one use: leave out host, or uses", field="uses")
        _check_name(session, host, replaces=replaces)
    secret = secrets.token_urlsafe(24)
    token = JoinToken(
        secret_sha256=digest(secret),
        host=host,
        replaces=replaces,
        uses=uses,
        labels=dict(labels),
        created_by=actor.username,
        expires_at=now() + timedelta(seconds=ttl_seconds),
    )
    session.add(token)
    session.flush()
    return token, secret


def _check_name(session: Session, name: str, *, replaces: bool) -> None:
    known = session.get(Host, name)
    there = known is not None and known.removed_at is None
    if replaces and not there:
        raise NotFound(
            f"host '{name}' not found: only a host of the fleet can join again; add a new one with `corral host add`"
        )
    if there and not replaces:
        raise Conflict(
            f"host '{name}' has joined already: choose another name, or let that machine join again"
            f" (corral host rejoin {name})",
            reason="name_taken",
        )


def list_of(session: Session, actor: Actor, wanted: Slice) -> tuple[list[JoinToken], int]:
    """A page of all tokens, newest first, and how many there are; for administrators."""
    actor.must_see_all()
    total = session.scalar(select(func.count()).select_from(JoinToken)) or 0
    return list(session.scalars(sliced(select(JoinToken), ORDERING, wanted))), total


def get(session: Session, actor: Actor, token_id: str) -> JoinToken:
    """One of them; `NotFound`."""
    actor.must_see_all()
    return _known(session.get(JoinToken, token_id), token_id)


def revoke(session: Session, actor: Actor, token_id: str) -> JoinToken:
    """Let nobody join with it any more; again is no error. Who has joined stays."""
    actor.must_administer()
    token = _known(session.get(JoinToken, token_id, with_for_update=True), token_id)
    token.revoked_at = token.revoked_at or now()
    return token


def state_of(token: JoinToken) -> str:
    """ "revoked", "used", "expired" or "waiting"."""
    if token.revoked_at is not None:
        return "revoked"
    if len(token.hosts) >= token.uses:
        return "used"
    return "expired" if token.expires_at <= now() else "waiting"


def _known(token: JoinToken | None, token_id: str) -> JoinToken:
    if token is None:
        raise NotFound(f"join token '{token_id}' not found")
    return token
