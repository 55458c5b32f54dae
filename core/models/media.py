"""The disks that users have beside their VMs' own."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from core.models.base import Base, new_id, now


class Medium(Base):
    """A disk as its host has reported it. `reserved_gb` is counted on its host: nothing if its operator put it there.

    `ready_at` is empty while it is being made. `generation` is that of the report it was last told in. `owner_id` may
    be a user who is gone.
    """

    __tablename__ = "media"
    __table_args__ = (
        UniqueConstraint("host_name", "owner_id", "name"),
        CheckConstraint("reserved_gb >= 0", name="reserved"),
    )

    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("med"))
    host_name: Mapped[str] = mapped_column(ForeignKey("hosts.name", ondelete="CASCADE"))
    owner_id: Mapped[str] = mapped_column(index=True)
    name: Mapped[str]
    format: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    used_bytes: Mapped[int | None] = mapped_column(BigInteger)
    reserved_gb: Mapped[int]
    vm_id: Mapped[str | None] = mapped_column(index=True)
    generation: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(default=now)
    ready_at: Mapped[datetime | None]
