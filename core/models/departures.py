"""Departures: VMs that were created again elsewhere, and may have left something on their former host."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from core.models.base import Base, now


class Departure(Base):
    """A VM that was on that host, as its driver's and with that `home`, and is on another now.

    It is there until the host has been seen without what was left.
    """

    __tablename__ = "departures"

    vm_id: Mapped[str] = mapped_column(ForeignKey("vms.id"), primary_key=True)
    host_name: Mapped[str] = mapped_column(ForeignKey("hosts.name"), primary_key=True, index=True)
    hypervisor: Mapped[str]
    home: Mapped[int]
    left_at: Mapped[datetime] = mapped_column(default=now)
