"""The chain through the audit log: links are added behind the commits, and anyone may check all of them.

The digest of a link is SHA-256 over the digest before it and the entry as canonical JSON, its position included.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, delete, func, insert, select
from sqlalchemy.orm import Session

from core.contract.errors import CorralError
from core.models import AuditEntry, AuditLink, AuditPending

FIRST = bytes(32)
_CHAIN_LOCK = 0x41554449
_BATCH = 1000
_PAGE = 5000
_COLUMNS = [column for column in AuditEntry.__table__.columns if column.name != "seq"]
_NAMES = ("seq", *(column.name for column in _COLUMNS))


@dataclass(frozen=True)
class Head:
    """The length of the chain and its last digest: who keeps both elsewhere can show later that nothing was cut off."""

    position: int
    sha256: bytes


class Broken(CorralError):
    """The chain does not hold; the message names the first entry that is wrong."""

    code = "audit_broken"


def digest(before: bytes, position: int, values: Sequence[Any]) -> bytes:
    """Of the link at that position, over an entry's values in the order of its columns."""
    entry = {name: _plain(value) for name, value in zip(_NAMES, values, strict=True)}
    text = json.dumps([position, entry], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(before + text.encode()).digest()


def link(session: Session) -> int:
    """Link a batch of what was committed meanwhile; how many entries that were. Nothing while another does it."""
    if not session.scalar(select(func.pg_try_advisory_xact_lock(_CHAIN_LOCK))):
        return 0
    query = select(AuditPending.seq, *_COLUMNS).join(AuditEntry, AuditEntry.seq == AuditPending.seq)
    rows = session.execute(query.order_by(AuditPending.seq).limit(_BATCH)).all()
    if not rows:
        return 0
    head, links = head_of(session), []
    for row in rows:
        head = Head(head.position + 1, digest(head.sha256, head.position + 1, row))
        links.append({"position": head.position, "seq": row.seq, "sha256": head.sha256})
    session.execute(insert(AuditLink), links)
    session.execute(delete(AuditPending).where(AuditPending.seq.in_([row.seq for row in rows])))
    return len(rows)


def head_of(session: Session) -> Head:
    """The newest link; position 0 before the first."""
    last = session.scalar(select(AuditLink).order_by(AuditLink.position.desc()).limit(1))
    return Head(last.position, bytes(last.sha256)) if last else Head(0, FIRST)


def verify(session: Session, *, expected: Head | None = None) -> Head:
    """Check every link in order, a page at a time; the chain's head.

    `Broken` for the first that is wrong: an entry changed, removed, moved or slipped in, or a chain that lacks or
    contradicts `expected`, a head that was kept elsewhere.
    """
    head = Head(0, FIRST)
    while rows := _page(session, head.position):
        for row in rows:
            head = _checked(head, row)
            if expected is not None and head.position == expected.position and head != expected:
                raise Broken(f"the link at position {head.position} is not the expected one")
    if expected is not None and head.position < expected.position:
        raise Broken(f"the chain ends at position {head.position}, before the expected {expected.position}: it was cut")
    for first, last in _ranges(session):
        _all_linked(session, first, last)
    return head


def waiting(session: Session) -> int:
    """How many entries are to be linked still."""
    return session.scalar(select(func.count()).select_from(AuditPending)) or 0


def _page(session: Session, after: int) -> Sequence[Row[Any]]:
    columns = (AuditLink.position, AuditLink.sha256, AuditLink.seq, AuditEntry.seq.label("found"), *_COLUMNS)
    query = select(*columns).outerjoin(AuditEntry, AuditEntry.seq == AuditLink.seq)
    return session.execute(query.where(AuditLink.position > after).order_by(AuditLink.position).limit(_PAGE)).all()


def _checked(head: Head, row: Row[Any]) -> Head:
    position, sha256, seq, found, *values = tuple(row)
    if position != head.position + 1:
        raise Broken(f"the link at position {head.position + 1} is missing")
    if found is None:
        raise Broken(f"entry {seq} (position {position}) was removed")
    if digest(head.sha256, position, (seq, *values)) != bytes(sha256):
        raise Broken(f"entry {seq} (position {position}) or its link was changed")
    return Head(position, bytes(sha256))


def _ranges(session: Session) -> Iterator[tuple[int, int]]:
    newest = session.scalar(select(func.max(AuditEntry.seq))) or 0
    for first in range(1, newest + 1, 10 * _PAGE):
        yield first, first + 10 * _PAGE - 1


def _all_linked(session: Session, first: int, last: int) -> None:
    """Every entry in that range is linked, or waits for it."""
    linked = select(AuditLink.seq).where(AuditLink.seq == AuditEntry.seq).exists()
    pending = select(AuditPending.seq).where(AuditPending.seq == AuditEntry.seq).exists()
    query = select(func.min(AuditEntry.seq)).where(AuditEntry.seq.between(first, last), ~linked, ~pending)
    odd = session.scalar(query)
    if odd is not None:
        raise Broken(f"entry {odd} is not in the chain")


def _plain(value: Any) -> Any:
    return value.astimezone(UTC).isoformat(timespec="microseconds") if isinstance(value, datetime) else value
