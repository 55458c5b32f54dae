"""The first start of a control plane: its first administrator."""

from __future__ import annotations

import secrets

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.models import User
from core.services import keys, users
from core.services.context import Actor

ADMINISTRATOR = "admin"


def first_administrator(session: Session) -> tuple[str, str, str]:
    """(username, password, API key) of an administrator made for whoever starts the fleet.

    Called when their credentials file is not there: an administrator of that name gets a new password and key.
    """
    password = secrets.token_urlsafe(18)
    user = session.scalar(select(User).where(User.username == ADMINISTRATOR))
    if user is None:
        user = users.add(session, ADMINISTRATOR, password, "admin")
    else:
        users.set_password(session, ADMINISTRATOR, users.hashed(password)).disabled_at = None
    actor = Actor(user.id, user.username, user.role)
    _, key = keys.create(session, actor, "first administrator")
    return user.username, password, key
