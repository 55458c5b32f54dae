"""Snapshots of VMs."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from core.models.base import Base, new_id, now


class Snapshot(Base):
    """A snapshot. `ready_at` is empty while it is being taken. `vm_status` and sizes are those of its moment."""

    __tablename__ = "snapshots"
    __table_args__ = (UniqueConstraint("vm_id", "name"),)

    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("snap"))
    vm_id: Mapped[str] = mapped_column(ForeignKey("vms.id"))
    name: Mapped[str]
    description: Mapped[str]
    include_memory: Mapped[bool]
    vm_status: Mapped[str]
    vcpus: Mapped[int]
    memory_mb: Mapped[int]
    size_bytes: Mapped[int | None] = mapped_column(BigInteger)
    checksum: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(default=now)
    ready_at: Mapped[datetime | None]
