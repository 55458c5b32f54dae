"""Operations: every change of a VM that was accepted, and how it ended."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from core.models.base import JSON, Base, new_id, now
from core.models.vms import Vm


class Operation(Base):
    """An operation: one command to one host. At most one per VM is live: the partial unique index is the lock.

    `attempt` counts how often it was sent and fences older ones; `send_at` is when the sweep sends it again.
    A request to cancel is a flag and no state. `begun_by` is the boot id of the agent that has begun it.
    One without a VM is of its host (`HostKind`): no command, but work of the control plane's own.
    At most one drain of a host is live, and one prefetch of an image there.
    """

    __tablename__ = "operations"
    __table_args__ = (
        Index(
            "uq_operations_vm_id_live", "vm_id", unique=True, postgresql_where=text("state IN ('queued', 'running')")
        ),
        Index(
            "uq_operations_host_name_live",
            "host_name",
            unique=True,
            postgresql_where=text("kind = 'drain' AND state IN ('queued', 'running')"),
        ),
        Index(
            "ix_operations_send_at_live_prefetch",
            "send_at",
            postgresql_where=text("kind = 'image_prefetch' AND state IN ('queued', 'running')"),
        ),
        Index("ix_operations_send_at_live", "send_at", postgresql_where=text("state IN ('queued', 'running')")),
        Index("ix_operations_accepted_at_id", "accepted_at", "id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("op"))
    kind: Mapped[str]
    state: Mapped[str]
    vm_id: Mapped[str | None] = mapped_column(ForeignKey("vms.id"), index=True)
    vm_name: Mapped[str]
    host_name: Mapped[str]
    owner_id: Mapped[str] = mapped_column(index=True)
    actor_id: Mapped[str]
    request_id: Mapped[str]
    params: Mapped[JSON]
    attempt: Mapped[int]
    send_at: Mapped[datetime]
    progress: Mapped[JSON | None]
    result: Mapped[JSON | None]
    error: Mapped[JSON | None]
    cancel_requested_at: Mapped[datetime | None]
    accepted_at: Mapped[datetime] = mapped_column(default=now)
    begun_at: Mapped[datetime | None]
    begun_by: Mapped[str | None]
    ended_at: Mapped[datetime | None]
    deadline_at: Mapped[datetime]
    vm: Mapped[Vm | None] = relationship(viewonly=True)
