"""What all tables share."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, MetaData
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase

JSON = dict[str, Any]


class Base(DeclarativeBase):
    """Constraint names are fixed, so that a migration can name what it changes."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {
        JSON: JSONB,
        list[JSON]: JSONB,
        list[str]: JSONB,
        dict[str, str]: JSONB,
        datetime: DateTime(timezone=True),
    }


def new_id(prefix: str) -> str:
    """A random id that says what it names: 'vm-3f9c0a1b2d4e'."""
    return f"{prefix}-{secrets.token_hex(6)}"


def now() -> datetime:
    """The present, in UTC."""
    return datetime.now(UTC)
