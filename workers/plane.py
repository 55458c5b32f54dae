"""What the work of a control worker needs: the database, and the way out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from core import database, settings
from core.dispatch import Dispatch
from core.services import context
from core.settings import Settings


@dataclass(frozen=True)
class Plane:
    """One per process."""

    settings: Settings
    engine: Engine
    dispatch: Dispatch

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A transaction whose messages leave by this process's way out."""
        with database.transaction(self.engine) as session:
            yield context.use(session, self.dispatch)


@cache
def get() -> Plane:
    """This process's, made at first use."""
    configured = settings.load()
    if not configured.database_url or not configured.redis_url:
        raise SystemExit("set DATABASE_URL and REDIS_URL, or start everything with 'make up'")
    engine = database.connect(configured.database_url, pool_size=8)
    return Plane(configured, engine, Dispatch(configured.redis_url))
