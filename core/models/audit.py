"""The audit log: what was done or refused, and the chain that proves it whole. Nothing in it is ever changed."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Identity, Index, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from core.models.base import JSON, Base


class AuditEntry(Base):
    """An entry of the audit log: who did what, from where, with which result. It outlives its user and its VM.

    Triggers refuse UPDATE, DELETE and TRUNCATE here and on the links, and put each new `seq` into `audit_pending`.
    """

    __tablename__ = "audit_entries"
    __table_args__ = (
        Index("ix_audit_entries_at", "at", postgresql_using="brin"),
        Index("ix_audit_entries_user_id_seq", "user_id", "seq"),
        Index("ix_audit_entries_action_type_seq", "action_type", "seq"),
    )

    seq: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    at: Mapped[datetime]
    action_type: Mapped[str]
    resource_type: Mapped[str]
    resource_id: Mapped[str]
    user_id: Mapped[str | None]
    username: Mapped[str | None]
    key_id: Mapped[str | None]
    source_ip: Mapped[str | None]
    request_id: Mapped[str]
    result: Mapped[str]
    status_code: Mapped[int | None]
    error_code: Mapped[str | None]
    details: Mapped[JSON]


class AuditLink(Base):
    """One link of the chain: `sha256` covers its position, its entry and the link before it."""

    __tablename__ = "audit_links"

    position: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    seq: Mapped[int] = mapped_column(BigInteger, unique=True)
    sha256: Mapped[bytes] = mapped_column(LargeBinary)


class AuditPending(Base):
    """The entries that are committed and not linked yet."""

    __tablename__ = "audit_pending"

    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
