"""The accounts of hosts, and join tokens."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from core.models.base import Base, new_id, now


class HostIdentity(Base):
    """A host that has joined: `secret_sha256` is of the secret that its agent has made, which nobody else knows.

    `token_id`: the join token that it came with; null where it needed none, as on the machine of the control plane.

    `rotation`: the id of the rotation of its secret that is to be, or has begun; `next_sha256` is then of the secret
    that the agent has made for it, which is valid beside the former one since `offered_at`. `rotation_by`: who has
    asked for it, null where the secret's age has. `rotation_problem`: why it is not done yet.
    """

    __tablename__ = "host_identities"

    host: Mapped[str] = mapped_column(primary_key=True)
    secret_sha256: Mapped[str]
    token_id: Mapped[str | None]
    joined_at: Mapped[datetime] = mapped_column(default=now)
    secret_changed_at: Mapped[datetime] = mapped_column(default=now, server_default=func.now())
    next_sha256: Mapped[str | None]
    rotation: Mapped[str | None]
    rotation_by: Mapped[str | None]
    rotation_problem: Mapped[str | None]
    rotating_since: Mapped[datetime | None]
    offered_at: Mapped[datetime | None]
    rotation_retry_at: Mapped[datetime | None]


class JoinToken(Base):
    """Lets `uses` machines become hosts, of any name if `host` is null. `hosts`: those that did.

    `replaces`: it is for a host that there is, whose former secret holds no more then. `labels`: what they come with.
    """

    __tablename__ = "join_tokens"
    __table_args__ = (CheckConstraint("uses > 0", name="uses"),)

    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("join"))
    secret_sha256: Mapped[str]
    host: Mapped[str | None]
    replaces: Mapped[bool]
    labels: Mapped[dict[str, str]] = mapped_column(default=dict, server_default="{}")
    uses: Mapped[int]
    hosts: Mapped[list[str]] = mapped_column(default=list)
    created_by: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=now)
    used_at: Mapped[datetime | None]
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
