"""Secrets of the control plane itself, made at first start and shared by its processes."""

from __future__ import annotations

from sqlalchemy.orm import Mapped, mapped_column

from core.models.base import Base


class Secret(Base):
    """A named random value, such as the key that signs tokens."""

    __tablename__ = "secrets"

    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]
