"""Intake of one host's reports, a batch at a time. Each leaves its list once it is recorded, or moved aside.

An entry is removed after the commit that recorded it, so nothing is lost; recording is idempotent, so an entry read
twice does no harm. Any number of workers may do this: who finds another at a host leaves it to that one.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from redis import Redis, RedisError
from sqlalchemy import text
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from core.contract import channels
from core.contract.errors import Invalid, Unavailable
from core.database import transact
from core.prepared import PREPARED
from core.services.intake import inbox
from core.services.intake.inbox import Step
from workers import prometheus
from workers.context import WorkerContext

log = logging.getLogger(__name__)

BATCH = 50
_BATCH_BYTES = 4 * 2**20
_LONGEST_BYTES = 16 * 2**20  # of an entry; an inventory of 10,000 VMs takes 2 MiB
_TURN_SECONDS = 2.0  # that a host with entries to move aside may take before the others have theirs
_DEADLOCK_SECONDS = 1.5  # PostgreSQL notices one after a second
_DEAD_KEPT = 1000
_DEAD_BYTES = 64 * 2**10  # kept of an entry
_TURN = text("SELECT pg_try_advisory_xact_lock(hashtext(:key))").execution_options(**PREPARED)

# The first entries that fit: at least one, whatever its length; of one that is too long only how it begins.
_READ = """
local found, bytes = {}, 0
for index = 0, tonumber(ARGV[1]) - 1 do
  local entry = redis.call('LINDEX', KEYS[1], index)
  if not entry then break end
  bytes = bytes + #entry
  if #entry > tonumber(ARGV[3]) then
    if index == 0 then return {#entry, {string.sub(entry, 1, tonumber(ARGV[4]))}} end
    break
  end
  if index > 0 and bytes > tonumber(ARGV[2]) then break end
  found[#found + 1] = entry
end
return {0, found}
"""
# Moves the first entry aside if it still is the one that is meant: of that length, beginning so.
_MOVE = """
local first = redis.call('LINDEX', KEYS[1], 0)
if not first or #first ~= tonumber(ARGV[1]) or string.sub(first, 1, #ARGV[2]) ~= ARGV[2] then return 0 end
redis.call('RPUSH', KEYS[2], ARGV[3])
redis.call('LPOP', KEYS[1])
redis.call('LTRIM', KEYS[2], -tonumber(ARGV[4]), -1)
return 1
"""


class _TooLong(Exception):
    """The first entry of a list is."""

    def __init__(self, length: int) -> None:
        super().__init__(f"{length} bytes long, over the limit of {_LONGEST_BYTES}")


@dataclass
class Batch:
    """The first entries of a host's list, as they were read. `length` is that of the first, of which all is here unless
    it is too long.
    """

    host: str
    limit: int
    length: int = 0
    entries: list[bytes] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)


class Intake:
    """The lists of all hosts, as one worker takes them in."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self._redis: Redis = context.dispatch.redis
        self._first = self._redis.register_script(_READ)
        self._move = self._redis.register_script(_MOVE)

    def turn(self, host: str) -> bool:
        """Record a batch of that host's; whether there may be more.

        Raises only what is the world's fault, and leaves the entries where they are then. One that can't be recorded
        for a fault of its own is moved aside with the reason.
        """
        try:
            return self._record(Batch(host, BATCH))
        except Exception as error:
            if worlds_fault(error):
                raise
        until = time.monotonic() + _TURN_SECONDS
        for _ in range(BATCH):
            if not self._record_one(host):
                return False
            if time.monotonic() > until:
                break
        return True

    def _record_one(self, host: str) -> bool:
        """Something in the batch can't be recorded: take the first entry alone, and move it aside if it is the one."""
        batch = Batch(host, 1)
        try:
            return self._record(batch)
        except Exception as error:  # whatever it is, it must not come between the other hosts and this process
            if worlds_fault(error):
                raise
            if batch.entries:
                self.move_aside(batch, error)
            return True

    def _record(self, batch: Batch) -> bool:
        """Record what the batch has room for; whether there may be more."""
        key = channels.reports(batch.host)
        with prometheus.RECORD_SECONDS.time():
            if not self._in_turn(key, lambda session: self._begin(session, batch)):
                return False
            for step in batch.steps[1:]:
                if not self._in_turn(key, partial(inbox.record, host=batch.host, step=step)):
                    return True
        self._forget(key, batch.entries)
        prometheus.REPORTS.inc(len(batch.entries))
        return len(batch.entries) == batch.limit

    def _in_turn(self, key: str, work: Callable[[Session], None]) -> bool:
        """Whether it was done, in a transaction; False when another worker is at that host."""

        def turn(session: Session) -> bool:
            mine = bool(session.scalar(_TURN, {"key": key}))
            if mine:
                work(session)
            return mine

        return transact(self._context.receiving, turn, within=_DEADLOCK_SECONDS)

    def _begin(self, session: Session, batch: Batch) -> None:
        """Read the entries, now that they are this worker's alone, and record the first step of them."""
        sizes = [batch.limit, _BATCH_BYTES, _LONGEST_BYTES, _DEAD_BYTES]
        too_long, batch.entries = self._first([channels.reports(batch.host)], sizes)
        batch.length = too_long or len(batch.entries[0]) if batch.entries else 0
        if too_long:
            raise _TooLong(too_long)
        batch.steps = inbox.steps(batch.host, batch.entries)
        if batch.steps:
            inbox.record(session, batch.host, batch.steps[0])

    def _forget(self, key: str, entries: Sequence[bytes]) -> None:
        if entries:
            with self._redis.pipeline(transaction=False) as pipeline:
                for entry in entries:
                    pipeline.lrem(key, 1, entry)  # type: ignore[arg-type]
                pipeline.execute()

    def move_aside(self, batch: Batch, error: Exception) -> None:
        """Move the batch's one entry to the list of the dead, unless another worker has done it."""
        if isinstance(error, _EXPECTED):
            log.warning("a message from host %s can't be recorded and is moved aside: %s", batch.host, _reason(error))
        else:
            log.error(
                "recording a message from host %s failed unexpectedly; it is moved aside", batch.host, exc_info=error
            )
        kept = batch.entries[0][:_DEAD_BYTES].decode(errors="backslashreplace")
        dead = json.dumps({"at": time.time(), "reason": _reason(error), "entry": kept})
        keys = [channels.reports(batch.host), channels.dead_reports(batch.host)]
        prometheus.UNREADABLE.inc(int(self._move(keys, [batch.length, batch.entries[0], dead, _DEAD_KEPT])))


_EXPECTED = (_TooLong, Invalid, DataError, IntegrityError)


def worlds_fault(error: Exception) -> bool:
    """Whether that has nothing to do with the message at hand: the same message may be recorded in a moment.

    A schema that is not migrated yet is the world's, and so is a broken server; a value or a reference that no table
    takes is the message's.
    """
    if isinstance(error, (DataError, IntegrityError)):
        return False
    return isinstance(error, (Unavailable, DBAPIError, RedisError))


def _reason(error: Exception) -> str:
    words = error.orig if isinstance(error, DBAPIError) else error
    return f"{type(words).__name__}: {words}"[:500]
