"""Ports of hosts that lead into VMs."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from core.models.base import Base, new_id, now


class PortForward(Base):
    """A port of a host, for one VM alone; `ready_at` is empty until its host has it."""

    __tablename__ = "port_forwards"
    __table_args__ = (
        UniqueConstraint("host_name", "protocol", "host_port"),
        CheckConstraint("protocol IN ('tcp', 'udp')", name="protocol"),
        CheckConstraint("host_port BETWEEN 1024 AND 65535 AND guest_port BETWEEN 1 AND 65535", name="ports"),
    )

    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("fwd"))
    vm_id: Mapped[str] = mapped_column(ForeignKey("vms.id"), index=True)
    host_name: Mapped[str] = mapped_column(ForeignKey("hosts.name"))
    protocol: Mapped[str]
    host_port: Mapped[int]
    guest_port: Mapped[int]
    description: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=now)
    ready_at: Mapped[datetime | None]
