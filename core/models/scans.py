"""Security scans, and the progress of each VM's."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from core.models.base import JSON, Base, new_id, now


class ScanState(StrEnum):
    """The state of one VM in a scan: live in the first two. A skipped one could not be scanned when the scan began."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


class Scan(Base):
    """A scan. `target`: a VM's name, or "all". Its state is that of its VMs, until all have ended."""

    __tablename__ = "scans"
    __table_args__ = (Index("ix_scans_owner_id_started_at", "owner_id", "started_at"),)

    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("scan"))
    owner_id: Mapped[str]
    scan_type: Mapped[str]
    target: Mapped[str]
    frameworks: Mapped[list[str]]
    started_at: Mapped[datetime] = mapped_column(default=now)
    estimated_completion: Mapped[datetime]
    completed_at: Mapped[datetime | None]


class ScannedVm(Base):
    """A VM of a scan: a worker's piece of work, its own until `lease_until`. `attempt` fences a worker thought dead.

    `done` names the families of checks whose outcomes are in `outcomes`: another worker goes on behind them.
    """

    __tablename__ = "scanned_vms"
    __table_args__ = (
        Index(
            "ix_scanned_vms_lease_until_live", "lease_until", postgresql_where=text("state IN ('queued', 'running')")
        ),
        Index("ix_scanned_vms_vm_id_live", "vm_id", postgresql_where=text("state IN ('queued', 'running')")),
    )

    scan_id: Mapped[str] = mapped_column(ForeignKey("scans.id"), primary_key=True)
    vm_id: Mapped[str] = mapped_column(primary_key=True)
    vm_name: Mapped[str]
    state: Mapped[str]
    reason: Mapped[str | None]
    attempt: Mapped[int] = mapped_column(default=0, server_default="0")
    lease_until: Mapped[datetime] = mapped_column(default=now)
    percent: Mapped[int] = mapped_column(default=0, server_default="0")
    done: Mapped[list[str]] = mapped_column(default=list, server_default="[]")
    outcomes: Mapped[list[JSON]] = mapped_column(default=list, server_default="[]")
    ended_at: Mapped[datetime | None]
