"""A host's secret is changed while it works: the host makes the next one, and both are valid until it has used that.

A rotation is in the record, and each step may be done again: a host makes one secret for one rotation. What a host has
not used in time is valid no more, and the rotation begins anew; the host has kept the former secret.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import Session

from core.contract.errors import Conflict
from core.contract.states import SchedulingState
from core.models import Host, HostIdentity
from core.models.base import new_id, now
from core.services import events, hosts
from core.services.audit import records
from core.services.context import Actor
from core.services.identities import accounts

_AGAIN = timedelta(seconds=30)
_MOST_BEGUN = 20  # in a round of sweeps: a thousand hosts that joined on one day are not rotated in one minute


@dataclass(frozen=True)
class Rotation:
    """What is to be done now. `next_sha256`: of the secret that the host has made; None before that."""

    host: str
    id: str
    secret_sha256: str
    next_sha256: str | None


def begin(session: Session, actor: Actor, name: str) -> Host:
    """Have a host's secret changed as soon as the host is online; once more is nothing while that is not done."""
    actor.must_administer()
    host = hosts.locked(session, name)
    if host.scheduling_state == SchedulingState.FENCED:
        raise Conflict(f"host '{name}' is fenced: activate it first", code="invalid_state")
    identity = session.get(HostIdentity, name, with_for_update=True, populate_existing=True)
    if identity is None:
        raise Conflict(
            f"host '{name}' has no secret of its own: let it join again (corral host rejoin {name})",
            code="invalid_state",
        )
    if identity.rotation is None:
        _begin(identity, actor.username)
    identity.rotation_retry_at = None
    session.flush()
    return host


def sweep(session: Session, oldest: timedelta | None, overlap: timedelta) -> int:
    """Begin with secrets that are older than that, and end the validity of those not used in time; how many."""
    late = _locked(session, HostIdentity.offered_at < now() - overlap)
    for identity in late:
        _withdraw(session, identity, overlap)
    old: list[HostIdentity] = []
    if oldest is not None:
        old = _locked(session, HostIdentity.rotation.is_(None), HostIdentity.secret_changed_at < now() - oldest)
    for identity in old:
        _begin(identity, None)
    return len(late) + len(old)


def due(session: Session) -> list[str]:
    """The hosts whose rotation can go on now, that which waits longest first."""
    of = HostIdentity
    found = select(of.host).join(Host, Host.name == of.host)
    found = found.where(
        of.rotation.is_not(None),
        or_(of.rotation_retry_at.is_(None), of.rotation_retry_at <= now()),
        _reachable(),
        Host.offline_since.is_(None),
    )
    return list(session.scalars(found.order_by(of.rotating_since)))


def look(session: Session, name: str) -> Rotation | None:
    """That host's rotation as it is now; None if it has none."""
    identity = session.get(HostIdentity, name, populate_existing=True)
    if identity is None or identity.rotation is None:
        return None
    return Rotation(name, identity.rotation, identity.secret_sha256, identity.next_sha256)


def offer(session: Session, rotation: Rotation, next_sha256: str) -> None:
    """The host has made its next secret, and both are valid from the commit on."""
    identity = _same(session, rotation)
    if identity is None or identity.next_sha256 is not None or identity.secret_sha256 == next_sha256:
        return
    identity.next_sha256, identity.offered_at = next_sha256, now()
    accounts.offered(session, rotation.host)


def finish(session: Session, rotation: Rotation, used_sha256: str) -> None:
    """The host has come in with the next secret. From the commit on the former one is invalid, and cut off."""
    identity = _same(session, rotation)
    if identity is None or identity.next_sha256 != used_sha256:
        return
    by = identity.rotation_by
    identity.secret_sha256, identity.secret_changed_at = used_sha256, now()
    identity.rotation = identity.rotation_by = identity.rotation_problem = identity.rotation_retry_at = None
    identity.next_sha256 = identity.rotating_since = identity.offered_at = None
    accounts.settle(session, rotation.host)
    events.of_host(session, "host_secret", rotation.host, {"host": rotation.host, "state": "rotated", "by": by})
    _write(session, rotation.host, records.SUCCESS, by)


def postpone(session: Session, rotation: Rotation, problem: str) -> None:
    """It could not go on now; it does in a while."""
    identity = _same(session, rotation)
    if identity is not None:
        identity.rotation_problem, identity.rotation_retry_at = problem, now() + _AGAIN


def _begin(identity: HostIdentity, by: str | None) -> None:
    identity.rotation, identity.rotating_since = new_id("rotation"), now()
    identity.rotation_by, identity.rotation_problem = by, None


def _withdraw(session: Session, identity: HostIdentity, overlap: timedelta) -> None:
    by, name = identity.rotation_by, identity.host
    identity.next_sha256 = identity.offered_at = identity.rotation_retry_at = None
    identity.rotation = new_id("rotation")
    identity.rotation_problem = (
        f"the host did not use its next secret within {overlap.total_seconds():.0f} s: the former one stays valid, and"
        " the rotation begins again when the host is online"
    )
    accounts.settle(session, name)
    events.of_host(session, "host_secret", name, {"host": name, "state": "withdrawn", "by": by})
    _write(session, name, records.FAILED, by)


def _write(session: Session, name: str, result: str, by: str | None) -> None:
    record = records.AuditRecord("host_secret_rotate", "host", name, result, request_id="", username=by)
    records.write(session, record)


def _locked(session: Session, *conditions: ColumnElement[bool]) -> list[HostIdentity]:
    """Identities of hosts that are there, locked; those that someone else is at are left for the next round."""
    found = select(HostIdentity).join(Host, Host.name == HostIdentity.host)
    found = found.where(*conditions, Host.removed_at.is_(None)).order_by(HostIdentity.secret_changed_at)
    found = found.limit(_MOST_BEGUN).with_for_update(of=HostIdentity, skip_locked=True)
    return list(session.scalars(found.execution_options(populate_existing=True)))


def _same(session: Session, rotation: Rotation) -> HostIdentity | None:
    """The identity, locked, if it is in that rotation still."""
    identity = session.get(HostIdentity, rotation.host, with_for_update=True, populate_existing=True)
    return identity if identity is not None and identity.rotation == rotation.id else None


def _reachable() -> ColumnElement[bool]:
    return and_(Host.removed_at.is_(None), Host.scheduling_state != SchedulingState.FENCED)
