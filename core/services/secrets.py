"""The control plane's own secrets."""

from __future__ import annotations

import secrets

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.models import Secret


def get_or_make(session: Session, name: str) -> str:
    """The secret of that name, made at its first use; all processes get the same one."""
    query = select(Secret.value).where(Secret.name == name)
    known = session.scalar(query)  # so that a database that can only be read will do
    if known is not None:
        return known
    session.execute(
        insert(Secret)
        .values(name=name, value=secrets.token_urlsafe(48))
        .on_conflict_do_nothing(index_elements=["name"])
    )
    return session.scalars(query).one()
