"""The API context: what every request needs of its process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, cast

from flask import current_app
from limits import RateLimitItem, WindowStats
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from api.web.bounded_checks import Once
from api.web.kept import Kept
from api.web.places import Places
from api.web.tally import Tally
from core import database
from core.contract.messages import JSON, VmSpec
from core.dispatch import Dispatch
from core.services import context, secrets
from core.settings import Settings
from core.streams import Stream

MOST_WAITS = 100  # of one user
MOST_STRANGERS = 200  # from one address, each for some seconds
MOST_DOWNLOADS = 32  # of images' files, by all hosts together: one more would make all of them slower

T = TypeVar("T")


class HubProtocol(Protocol):
    """Waits for what comes over Redis (api/realtime)."""

    @property
    def draining(self) -> bool:
        """Whether this process is about to end, and nobody may be held any more."""

    def wait_operation(
        self, operation_id: str, timeout: float, read: Callable[[], bool], *, just_begun: bool = False
    ) -> bool:
        """Whether the operation has ended, as `read` says, within `timeout` seconds."""

    def call(
        self,
        host: str,
        verb: str,
        vm: VmSpec | None,
        params: JSON,
        timeout: float,
        gone: Callable[[], bool] | None = None,
    ) -> JSON:
        """The reply of the host's agent; `Unavailable` when there is none in time, or `gone` says nobody wants it."""

    def stream(self, host: str, verb: str, vm: VmSpec | None, params: JSON, timeout: float) -> Stream:
        """A stream that the host's agent has opened at that call."""


class LimitsProtocol(Protocol):
    """Counts requests (api/web/limits.py)."""

    def count(self, who: str, what: str = "requests") -> RateLimitItem:
        """Count one; `TooMany` beyond a rate."""

    def left(self, rate: RateLimitItem, who: str, what: str) -> WindowStats:
        """What is left of a rate."""


@dataclass(frozen=True)
class ApiContext:
    """The ways out of one process, shared by both dialects."""

    settings: Settings
    engine: Engine
    dispatch: Dispatch
    hub: HubProtocol
    tally: Tally
    limits: LimitsProtocol
    waits: Places = field(default_factory=lambda: Places(MOST_WAITS, "waits"))
    strangers: Places = field(default_factory=lambda: Places(MOST_STRANGERS, "sockets that have not said who calls"))
    downloads: Places = field(default_factory=lambda: Places(MOST_DOWNLOADS, "downloads"))
    examinations: Once = field(default_factory=Once)
    machines: Kept[Any] = field(default_factory=lambda: Kept(2.0))
    started_at: float = field(default_factory=time.time)
    _secrets: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """One transaction, whose messages leave after its commit."""
        with database.transaction(self.engine) as session:
            yield context.use(session, self.dispatch)

    def transact(self, work: Callable[[Session], T]) -> T:
        """What `work(session)` returns in such a transaction, begun anew a few times while others are in the way."""
        return database.transact(self.transaction, work)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Statements that only read, outside any transaction."""
        with database.reading(self.engine) as session:
            yield context.use(session, self.dispatch)

    def secret(self, name: str) -> str:
        """A secret of the control plane, read once."""
        if name not in self._secrets:
            with self.transaction() as session:
                self._secrets[name] = secrets.get_or_make(session, name)
        return self._secrets[name]


def api_context() -> ApiContext:
    """Those of the present request's process."""
    return cast(ApiContext, current_app.extensions["corral"])
