"""A user's webhooks: made, listed, changed, and their secrets rotated."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from urllib.parse import urlsplit

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.contract.errors import Invalid, NotFound
from core.models import User, Webhook
from core.models.base import now
from core.services import events
from core.services.context import Actor
from core.services.paging import Ordering, Slice, sliced
from core.services.webhooks.reach import may_reach
from core.settings import Network

MOST = 20
LONGEST_URL = 2000
OVERLAP = timedelta(hours=24)
_MARK = "whsec_"  # begins a secret of the Standard Webhooks
_SECRET_BYTES = 32
ORDERING = Ordering({"created_at": Webhook.created_at}, key=Webhook.id, by="created_at", descending=True)


def create(
    session: Session, actor: Actor, url: str, types: Sequence[str] = (), allowed: Sequence[Network] = ()
) -> Webhook:
    """A new webhook of the caller's, for the events of those types from now on; without types for all that they see.

    `allowed`: private networks that it may be in. `Invalid` for a URL or type that can't be had, and beyond `MOST`.
    """
    actor.must_write()
    session.get_one(User, actor.user_id, with_for_update=True)  # two at once are counted one after the other
    count = session.scalar(select(func.count()).select_from(Webhook).where(Webhook.owner_id == actor.user_id)) or 0
    if count >= MOST:
        raise Invalid(f"you have {MOST} webhooks, the most allowed: delete one first", code="limit_reached")
    hook = Webhook(
        owner_id=actor.user_id,
        url=_checked_url(url, allowed),
        types=_checked_types(types),
        secret=_new_secret(),
        after_seq=events.last_seq(session),
    )
    session.add(hook)
    session.flush()
    return hook


def list_of(session: Session, actor: Actor, wanted: Slice) -> tuple[list[Webhook], int]:
    """A page of the caller's webhooks, newest first, and how many there are."""
    mine = Webhook.owner_id == actor.user_id
    total = session.scalar(select(func.count()).select_from(Webhook).where(mine)) or 0
    return list(session.scalars(sliced(select(Webhook).where(mine), ORDERING, wanted))), total


def get(session: Session, actor: Actor, hook_id: str, *, lock: bool = False) -> Webhook:
    """One of the caller's; an administrator may see anybody's. `NotFound`."""
    hook = session.get(Webhook, hook_id, with_for_update=lock)
    if hook is None or (hook.owner_id != actor.user_id and not actor.is_admin):
        raise NotFound(f"webhook '{hook_id}' not found")
    return hook


def change(
    session: Session,
    actor: Actor,
    hook_id: str,
    *,
    url: str | None = None,
    types: Sequence[str] | None = None,
    enabled: bool | None = None,
    allowed: Sequence[Network] = (),
) -> Webhook:
    """Set what is given. Enabled again, it is tried at once, and gets what has happened meanwhile."""
    actor.must_write()
    hook = get(session, actor, hook_id, lock=True)
    if url is not None:
        hook.url = _checked_url(url, allowed)
    if types is not None:
        hook.types = _checked_types(types)
    if enabled is False:
        disable(hook, "by its owner" if hook.owner_id == actor.user_id else "by an administrator")
    if enabled or url is not None:
        hook.failing_since = hook.held_until = None
    if enabled:
        hook.disabled_at = hook.disabled_reason = None
    return hook


def disable(hook: Webhook, reason: str) -> None:
    """Nothing is sent to it until its owner enables it."""
    hook.disabled_at, hook.disabled_reason = hook.disabled_at or now(), hook.disabled_reason or reason


def delete(session: Session, actor: Actor, hook_id: str) -> None:
    """It and its deliveries are gone."""
    actor.must_write()
    session.delete(get(session, actor, hook_id, lock=True))


def rotate(session: Session, actor: Actor, hook_id: str) -> Webhook:
    """Give it a new secret; for `OVERLAP` deliveries are signed with the former one too."""
    actor.must_write()
    hook = get(session, actor, hook_id, lock=True)
    hook.former_secret, hook.former_until, hook.secret = hook.secret, now() + OVERLAP, _new_secret()
    return hook


def _new_secret() -> str:
    return _MARK + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def _checked_url(url: str, allowed: Sequence[Network]) -> str:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("https", "http") or not parts.hostname or port == 0:
        raise Invalid("url must be like https://example.org/path", field="url")
    if parts.username is not None or parts.password is not None:
        raise Invalid("url must not contain a user or password: deliveries are signed instead", field="url")
    if parts.fragment or not (url.isascii() and url.isprintable()) or " " in url:
        raise Invalid("url must be ASCII without spaces or a fragment: encode other characters", field="url")
    with suppress(ValueError):  # a name: where it leads is seen at each delivery
        if not may_reach(parts.hostname, allowed):
            raise Invalid("url has a private address: ask the operator to allow its network", field="url")
    return url


def _checked_types(types: Sequence[str]) -> list[str]:
    for each in types:
        if each not in events.TYPES:
            raise Invalid(
                f"'{each}' is not an event type; choose from {', '.join(sorted(events.TYPES))}", field="types"
            )
    return sorted(set(types))
