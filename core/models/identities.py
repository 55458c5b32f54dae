"""Which hosts may be hosts."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from core.models.base import Base, now


class HostIdentity(Base):
    """A host that has joined: `secret_sha256` is of the secret that its agent has made, which nobody else knows."""

    __tablename__ = "host_identities"

    host: Mapped[str] = mapped_column(primary_key=True)
    secret_sha256: Mapped[str]
    joined_at: Mapped[datetime] = mapped_column(default=now)
