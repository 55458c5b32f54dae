"""Users and their credentials."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from core.models.base import Base, new_id, now


class User(Base):
    """A person or a program with a password. A token of another `token_version` does not hold any more."""

    __tablename__ = "users"
    __table_args__ = (CheckConstraint("role IN ('user', 'admin')", name="role"),)

    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("user"))
    username: Mapped[str] = mapped_column(unique=True)
    password_hash: Mapped[str]
    role: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=now)
    token_version: Mapped[int] = mapped_column(default=0, server_default="0")
    disabled_at: Mapped[datetime | None]


class LoginFailure(Base):
    """Wrong passwords for a name, which may be nobody's, from one address; `next_try_at` holds back who guesses."""

    __tablename__ = "login_failures"

    username: Mapped[str] = mapped_column(primary_key=True)
    address: Mapped[str] = mapped_column(primary_key=True)
    count: Mapped[int]
    last_at: Mapped[datetime] = mapped_column(index=True)
    next_try_at: Mapped[datetime | None]


class ApiKey(Base):
    """A random secret, stored as its SHA-256; `prefix` is what a person recognises it by."""

    __tablename__ = "api_keys"
    __table_args__ = (CheckConstraint("access IN ('read', 'full')", name="access"),)

    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("key"))
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), index=True)
    name: Mapped[str]
    prefix: Mapped[str]
    secret_sha256: Mapped[str] = mapped_column(unique=True)
    access: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
