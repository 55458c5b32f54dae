"""The machines that run VMs, as their agents describe them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, Computed
from sqlalchemy.orm import Mapped, foreign, mapped_column, relationship

from core.contract.hosts import HostFacts
from core.contract.states import SchedulingState
from core.models.base import JSON, Base, now
from core.models.identities import HostIdentity
from core.models.typed import Typed


def _promised(what: str) -> Computed:
    return Computed(f"least(floor(offered_{what} * overcommit_{what}), 2147483647)::integer", persisted=True)


class Host(Base):
    """Capacity is what the agent offers (`offered_*`), times how often an administrator lets it be promised
    (`overcommit_*`); `reserved_*` are counters that only placement moves.

    Resizing a host below what it has promised is allowed, so the CHECK holds the counters above zero, and the
    conditional UPDATE that reserves holds them below capacity.

    `home_id` is that of the agent's home, which alone is believed. `beat` is the agent's own time in the heartbeat that
    was seen last, `last_seen_at` when that was by the clock of the database. `problems`: by a word for each, what is
    wrong and since when. `scheduling_*`: whether it takes new VMs, since when, by which administrator, and why.
    `fence`: the number of its last fence, or of its removal. `labels`: set by administrators, for placement. A removed
    host is one that an administrator has given up.
    """

    __tablename__ = "hosts"
    __mapper_args__ = {"eager_defaults": True}  # capacity comes back with each change: no session is needed
    __table_args__ = (
        CheckConstraint("reserved_vcpus >= 0 AND reserved_memory_mb >= 0 AND reserved_disk_gb >= 0", name="reserved"),
    )

    name: Mapped[str] = mapped_column(primary_key=True)
    boot_id: Mapped[str]
    generation: Mapped[int] = mapped_column(BigInteger)
    offered_vcpus: Mapped[int]
    offered_memory_mb: Mapped[int]
    offered_disk_gb: Mapped[int]
    overcommit_vcpus: Mapped[float] = mapped_column(default=1.0, server_default="1")
    overcommit_memory_mb: Mapped[float] = mapped_column(default=1.0, server_default="1")
    overcommit_disk_gb: Mapped[float] = mapped_column(default=1.0, server_default="1")
    vcpus: Mapped[int] = mapped_column(_promised("vcpus"))
    memory_mb: Mapped[int] = mapped_column(_promised("memory_mb"))
    disk_gb: Mapped[int] = mapped_column(_promised("disk_gb"))
    reserved_vcpus: Mapped[int] = mapped_column(default=0, server_default="0")
    reserved_memory_mb: Mapped[int] = mapped_column(default=0, server_default="0")
    reserved_disk_gb: Mapped[int] = mapped_column(default=0, server_default="0")
    drivers: Mapped[list[JSON]]
    images: Mapped[list[str]]
    facts: Mapped[HostFacts] = mapped_column(Typed(HostFacts))
    orphans: Mapped[list[str]] = mapped_column(default=list, server_default="[]")
    labels: Mapped[dict[str, str]] = mapped_column(default=dict, server_default="{}")
    home_id: Mapped[str] = mapped_column(default="", server_default="")
    beat: Mapped[float | None]
    problems: Mapped[JSON] = mapped_column(default=dict, server_default="{}")
    scheduling_state: Mapped[str] = mapped_column(default=SchedulingState.ACTIVE, server_default=SchedulingState.ACTIVE)
    scheduling_since: Mapped[datetime | None]
    scheduling_by: Mapped[str | None]
    scheduling_reason: Mapped[str] = mapped_column(default="", server_default="")
    fence: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    first_seen_at: Mapped[datetime] = mapped_column(default=now)
    last_seen_at: Mapped[datetime]
    offline_since: Mapped[datetime | None]
    removed_at: Mapped[datetime | None]
    identity: Mapped[HostIdentity | None] = relationship(
        primaryjoin=lambda: foreign(Host.name) == HostIdentity.host, viewonly=True
    )
