"""The virtual machines."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, inspect, text
from sqlalchemy.orm import Mapped, mapped_column, relationship, validates

from core.contract.states import RestartPolicy
from core.contract.vms import Hardware, Placement, VmNetwork
from core.models.base import Base, new_id, now
from core.models.forwards import PortForward
from core.models.typed import Typed


class Vm(Base):
    """A VM: its desired state and its observed state, from which its status is computed.

    `observed_generation` is that of the report last applied. `reserved` says that its size is counted on its host.
    `vcpus` and `memory_mb` are what it is to have, `running_*` what it runs with where that was reported, and `held_*`
    what is counted for it on its host (empty: what it is to have, as rows of an older release).
    A deleted VM that is still counted was on a host that is offline: what is left there is removed when it returns.
    A lost VM was on a host that was given up, or that is fenced. `restart_policy`: whether it is made again elsewhere
    then; `elsewhere_at`: when the next step of that is due. `home` counts how often that was begun.
    `placement`: what was asked of its host when it was placed, and is to be heeded wherever it is placed again.
    `image_digest`: the version of its image that its host told of when it was placed there; empty: none was told.
    A name is unique among one owner's VMs that are not deleted, an address among those on one bridge.
    """

    __tablename__ = "vms"
    __table_args__ = (
        Index("uq_vms_owner_id_name", "owner_id", "name", unique=True, postgresql_where=text("deleted_at IS NULL")),
        Index("ix_vms_host_name_present", "host_name", postgresql_where=text("deleted_at IS NULL")),
        Index(
            "ix_vms_expires_at_present",
            "expires_at",
            postgresql_where=text("deleted_at IS NULL AND expires_at IS NOT NULL"),
        ),
        Index(
            "ix_vms_elsewhere_at_present",
            "elsewhere_at",
            postgresql_where=text("deleted_at IS NULL AND elsewhere_at IS NOT NULL"),
        ),
        Index("ix_vms_host_name_buried", "host_name", postgresql_where=text("deleted_at IS NOT NULL AND reserved")),
        Index("ix_vms_created_at_id_present", "created_at", "id", postgresql_where=text("deleted_at IS NULL")),
        Index(
            "uq_vms_host_name_address",
            "host_name",
            text("(network ->> 'bridge')"),
            text("(network ->> 'ip')"),
            unique=True,
            postgresql_where=text("reserved AND (network ->> 'type') = 'bridge'"),
        ),
    )

    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("vm"))
    name: Mapped[str]
    owner_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    hypervisor: Mapped[str]
    host_name: Mapped[str] = mapped_column(ForeignKey("hosts.name"))
    os_type: Mapped[str]
    image: Mapped[str]
    image_digest: Mapped[str | None]
    vcpus: Mapped[int]
    memory_mb: Mapped[int]
    disk_gb: Mapped[int]
    cpu_limit_percent: Mapped[int | None]
    memory_limit_percent: Mapped[int | None]
    running_vcpus: Mapped[int | None]
    running_memory_mb: Mapped[int | None]
    held_vcpus: Mapped[int | None]
    held_memory_mb: Mapped[int | None]
    placement: Mapped[Placement] = mapped_column(Typed(Placement), default=Placement, server_default="{}")
    network: Mapped[VmNetwork] = mapped_column(Typed(VmNetwork))
    hardware: Mapped[Hardware] = mapped_column(Typed(Hardware))
    forwards: Mapped[list[PortForward]] = relationship(order_by="PortForward.id", viewonly=True)
    wanted: Mapped[str]
    reserved: Mapped[bool]
    observed: Mapped[str | None]
    observed_generation: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    observed_at: Mapped[datetime | None]
    observed_reason: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(default=now)
    started_at: Mapped[datetime | None]
    stopped_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    lost_at: Mapped[datetime | None]
    restart_policy: Mapped[str] = mapped_column(default=RestartPolicy.NONE, server_default=RestartPolicy.NONE)
    home: Mapped[int] = mapped_column(default=0, server_default="0")
    elsewhere_at: Mapped[datetime | None]

    @validates("wanted")
    def _is_new(self, _name: str, value: str) -> str:
        """Only with the row: changed it is by `core.services.desired.want` alone."""
        if inspect(self).persistent:
            raise AttributeError("only core.services.desired.want changes the desired state of a VM")
        return value

    @property
    def current_vcpus(self) -> int:
        """What it has now: a running VM may wait for its next start to have more, or less."""
        return self.running_vcpus or self.vcpus

    @property
    def current_memory_mb(self) -> int:
        """The same for memory."""
        return self.running_memory_mb or self.memory_mb
