"""The worker context: the database, and the way by which messages are sent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache

from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from core import database, settings
from core.contract.images import ImageManifest, readable
from core.dispatch import Dispatch
from core.services import context
from core.services.identities.accounts import Accounts
from core.services.identities.nodes import RedisNodes
from core.settings import Settings


@dataclass(frozen=True)
class WorkerContext:
    """The context of a worker process."""

    settings: Settings
    engine: Engine
    dispatch: Dispatch
    intake: Engine
    """The receiver's own connections, which wait for locks and slow statements less long: other hosts wait behind."""
    accounts: Accounts = field(default_factory=Accounts)
    nodes: RedisNodes = field(default_factory=RedisNodes)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A transaction whose messages leave by this process's way out."""
        with database.transaction(self.engine) as session:
            yield context.use(session, self.dispatch)

    @contextmanager
    def receiving(self) -> Iterator[Session]:
        """The same for the receiver."""
        with database.transaction(self.intake) as session:
            yield context.use(session, self.dispatch)

    def apply_accounts(self) -> int:
        """Make Redis's accounts of hosts those of the record; how many were not."""
        return database.transact(self.transaction, self.accounts.apply)

    def apply_accounts_to_nodes(self) -> int:
        """The same in the other Redis servers, of which none holds up another."""
        return self.nodes.apply(self.dispatch, self.transaction)

    def fleet_image(self, name: str) -> ImageManifest | None:
        """The fleet's image of that name, where this process has the API's store; None where there is none."""
        return next(iter(readable(self.settings.images, [name])), None)

    def close(self) -> None:
        """Let go of all connections."""
        self.engine.dispose()
        self.intake.dispose()
        self.dispatch.close()


def make(configured: Settings) -> WorkerContext:
    """What a process with these settings needs."""
    engine = database.connect(configured.database_url, pool_size=8)
    intake = database.connect(configured.database_url, pool_size=1, statement_seconds=5, lock_seconds=2)
    return WorkerContext(configured, engine, Dispatch(configured.redis_url, configured.redis_nodes), intake)


@cache
def get() -> WorkerContext:
    """This process's, made at first use."""
    configured = settings.load()
    if not configured.database_url or not configured.redis_url:
        raise SystemExit("set DATABASE_URL and REDIS_URL, or start everything with 'make up'")
    return make(configured)
