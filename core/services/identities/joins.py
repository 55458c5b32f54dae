"""Joins: a machine becomes a host by a join token, and is known by its own secret from then on.

Asking again with the same token and the same secret is answered again, so that a join that broke off anywhere is
repeated with the same line; to anyone else a token is good for as many uses as it has.
"""

from __future__ import annotations

import hmac
import re
import time

from sqlalchemy.orm import Session

from core.contract import channels
from core.contract.errors import Conflict, CorralError, Invalid, NotFound
from core.contract.joining import Join
from core.database import after_commit
from core.models import Host, HostIdentity, JoinToken
from core.models.base import now
from core.services import events
from core.services.context import dispatch_of
from core.services.identities import accounts
from core.services.identities.accounts import digest
from core.version import VERSION

SKEW_SECONDS = 30.0
_SHA256 = re.compile(r"[0-9a-f]{64}")


def join(session: Session, asked: Join) -> str:
    """The name of the host that it is from the commit on.

    The errors' `reason`: token_unknown, token_expired, token_revoked, token_used, name_taken, clock_skew, version.
    """
    token = session.get(JoinToken, asked.token, with_for_update=True, populate_existing=True)
    token = _known(token, asked.secret)
    _check_machine(asked)
    name = token.host or asked.host
    if not channels.HOST_NAME.fullmatch(name):
        raise Invalid(
            f"'{name[:80]}' is not a valid host name: use at most 63 lower-case letters, digits, '.' and '-'; give it"
            " with --name",
            field="host",
        )
    known = session.get(HostIdentity, name, with_for_update=True, populate_existing=True)
    again = known is not None and (known.token_id, known.secret_sha256) == (token.id, asked.secret_sha256)
    _check_token(token, again=again)
    if not again:
        _check_name(session, token, name, known)
        token.hosts, token.used_at = [*token.hosts, name], now()
        if token.replaces:
            _begin_anew(session, name)
    accounts.admit(session, name, asked.secret_sha256, token.id)
    return name


def may_install(session: Session, token_id: str, secret: str) -> None:
    """That who has that token may have the fleet's release, to join with it; also who has used it, to do it again."""
    _check_token(_known(session.get(JoinToken, token_id), secret), again=True)


def _known(token: JoinToken | None, secret: str) -> JoinToken:
    if token is None or not hmac.compare_digest(token.secret_sha256, digest(secret)):
        raise NotFound(
            "this fleet has no such join token: check that the line is from this fleet, or have an administrator make"
            " a new one with `corral host add`",
            reason="token_unknown",
        )
    return token


def _check_machine(asked: Join) -> None:
    if not _SHA256.fullmatch(asked.secret_sha256):
        raise Invalid("secret_sha256 must be 64 hexadecimal digits", field="secret_sha256")
    ahead = asked.at - time.time()
    if abs(ahead) > SKEW_SECONDS:
        word = "ahead of" if ahead > 0 else "behind"
        raise Invalid(
            f"this machine's clock is {abs(ahead):.0f} s {word} the control plane's: set it by NTP"
            " (timedatectl set-ntp true), then join again with the same line",
            reason="clock_skew",
        )
    theirs, ours = _release(asked.version), _release(VERSION)
    if theirs is None or theirs[0] != ours[0] or not ours[1] - 1 <= theirs[1] <= ours[1]:
        raise Invalid(
            f"the agent is release {asked.version[:40]} and the control plane {VERSION}:"
            f" install {VERSION} on this machine",
            reason="version",
        )


def _release(version: str) -> tuple[int, int]:
    found = re.match(r"(\d{1,6})\.(\d{1,6})\b", version)
    return (int(found[1]), int(found[2])) if found else (-1, -1)


def _check_token(token: JoinToken, *, again: bool) -> None:
    if token.revoked_at is not None:
        raise _spent("token_revoked", f"was revoked at {events.iso(token.revoked_at)}")
    if token.expires_at <= now():
        raise _spent("token_expired", f"expired at {events.iso(token.expires_at)}")
    if not again and len(token.hosts) >= token.uses:
        at = events.iso(token.used_at) if token.used_at else "?"
        raise _spent("token_used", f"was used by host '{token.hosts[-1]}' at {at}")


def _spent(reason: str, how: str) -> CorralError:
    return Conflict(f"this join token {how}: an administrator makes a new one with `corral host add`", reason=reason)


def _check_name(session: Session, token: JoinToken, name: str, known: HostIdentity | None) -> None:
    """A name is taken by a host that was heard of; and by one that was not yet, but for a token of just that name."""
    host = session.get(Host, name, populate_existing=True)
    there = host is not None and host.removed_at is None
    if token.replaces or (not there and (known is None or token.host is not None)):
        return
    seen = f"last seen at {events.iso(host.last_seen_at)}" if host is not None and there else "never seen"
    raise Conflict(
        f"the name '{name}' belongs to another host ({seen}): give another with --name, or, if this machine is"
        " that host,"
        f" have an administrator run `corral host rejoin {name}`",
        reason="name_taken",
    )


def _begin_anew(session: Session, name: str) -> None:
    """Whatever home the host comes from now is believed."""
    host = session.get(Host, name, with_for_update=True, populate_existing=True)
    if host is not None:
        host.home_id = ""
    dispatch = dispatch_of(session)
    after_commit(session, lambda: dispatch.attempt(lambda: dispatch.redis.delete(channels.home(name))))
