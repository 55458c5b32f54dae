"""Events, in the order of their commits."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Identity, Index
from sqlalchemy.orm import Mapped, mapped_column

from core.models.base import JSON, Base


class Event(Base):
    """An event. `seq` grows in commit order (services/events.py holds the lock), so `after=seq` misses nothing."""

    __tablename__ = "events"
    __table_args__ = (Index("ix_events_vm_id_seq", "vm_id", "seq"),)

    seq: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    type: Mapped[str]
    at: Mapped[datetime]
    owner_id: Mapped[str | None]
    vm_id: Mapped[str | None]
    vm_name: Mapped[str | None]
    operation_id: Mapped[str | None]
    host_name: Mapped[str | None]
    data: Mapped[JSON]
