"""Receives what agents report: a thread per process, rung by a pub/sub bell, reading each host's own list.

An entry leaves its list only after the commit that recorded it, so nothing is lost; recording is idempotent, so an
entry read twice does no harm. This is no Celery consumer: one malformed message must not end the process.
"""

from __future__ import annotations

import logging
import threading
import time

import redis
from redis.client import PubSub
from sqlalchemy import text
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError, StatementError

from core.contract import channels
from core.contract.errors import CorralError, Invalid
from core.prepared import PREPARED
from core.services import inbox
from workers import prometheus
from workers.plane import Plane

log = logging.getLogger(__name__)

_BATCH = 50
_BELLS = 1000  # that are listened to before their reports are recorded
_DEAD_KEPT = 1000
# A bell may be lost: every list is looked at this often all the same.
_ROUND_SECONDS = 2.0
_PAUSE_SECONDS = 1.0
_TURN = text("SELECT pg_advisory_xact_lock(hashtext(:key))").execution_options(**PREPARED)
# What a message itself can be guilty of; anything else is the world's fault and tried again.
_UNREADABLE = (Invalid, DataError, IntegrityError, StatementError, ValueError, OverflowError, KeyError)


class Receiver:
    """Start it once a process; `stop` lets the batch at hand finish."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._redis = plane.dispatch.redis
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="receiver", daemon=True)

    def start(self) -> None:
        """Begin to receive."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the batch at hand and leave."""
        self._ended.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                self._listen()
            except (redis.RedisError, SQLAlchemyError, CorralError, OSError) as error:
                log.warning("receiving reports will go on in a moment: %s", type(error).__name__)
                self._ended.wait(_PAUSE_SECONDS)

    def _listen(self) -> None:
        with self._redis.pubsub(ignore_subscribe_messages=True) as bell:  # type: ignore[no-untyped-call]
            bell.subscribe(channels.REPORTS_BELL)
            next_round = 0.0
            while not self._ended.is_set():
                if time.monotonic() >= next_round:
                    self._look_at_all()
                    next_round = time.monotonic() + _ROUND_SECONDS
                for host in _rung(bell):
                    self._drain(host)

    def _look_at_all(self) -> None:
        mark = channels.reports("")
        for key in self._redis.scan_iter(match=f"{mark}*", count=1000, _type="list"):
            name = key.decode(errors="replace").removeprefix(mark)
            if not name.endswith(channels.DEAD):
                self._drain(name)

    def _drain(self, host: str) -> None:
        """Record all that a host's list holds, a batch a transaction."""
        while not self._ended.is_set():
            try:
                count = self._record(host, _BATCH)
            except _UNREADABLE:
                count = self._record_one(host)
            if count < _BATCH:
                return

    def _record(self, host: str, limit: int) -> int:
        """Record up to `limit` entries in one transaction; how many there were."""
        key = channels.reports(host)
        with prometheus.RECORD_SECONDS.time(), self._plane.transaction() as session:
            # One receiver a host at a time: its reports are applied in the order that it made them.
            session.execute(_TURN, {"key": key})
            entries: list[bytes] = self._redis.lrange(key, 0, limit - 1)  # type: ignore[assignment]
            if entries:
                inbox.record(session, host, entries)
        self._forget(key, entries)
        prometheus.REPORTS.inc(len(entries))
        return len(entries)

    def _record_one(self, host: str) -> int:
        """A batch had something unreadable in it: take the first entry alone, and move it aside if it is the one."""
        key = channels.reports(host)
        try:
            self._record(host, 1)
        except _UNREADABLE as error:
            log.warning("a message from host %s can't be read and was moved aside: %s", host, error)
            dead = channels.dead_reports(host)
            self._redis.lmove(key, dead, "LEFT", "RIGHT")
            prometheus.UNREADABLE.inc()
            self._redis.ltrim(dead, -_DEAD_KEPT, -1)
        return _BATCH

    def _forget(self, key: str, entries: list[bytes]) -> None:
        with self._redis.pipeline(transaction=False) as pipeline:
            for entry in entries:
                pipeline.lrem(key, 1, entry)  # type: ignore[arg-type]
            pipeline.execute()


def _rung(bell: PubSub) -> list[str]:
    """The hosts that have rung by now, each once however often it did; none after a second of silence."""
    hosts: dict[str, None] = {}
    for number in range(_BELLS):
        message = bell.get_message(timeout=0.0 if number else 1.0)
        if message is None:
            break
        hosts[message["data"].decode(errors="replace")] = None
    return list(hosts)
