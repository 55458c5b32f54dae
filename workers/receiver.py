"""The receiver of reports: a thread in each process, woken by pub/sub, reads each host's own list in turn.

This is no Celery consumer: one malformed message must not end the process. Nothing that one host sends comes between
the others and their turns: a host has one batch recorded at a time, and rests for a while when that fails.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass

import redis
from redis.client import PubSub

from core.contract import channels
from core.contract.errors import Busy, Unavailable
from core.contract.messages import ReceiverState, encode
from workers import prometheus
from workers.context import WorkerContext
from workers.intake import Intake, worlds_fault

log = logging.getLogger(__name__)

_WAKEUPS = 1000  # that are listened to before their reports are recorded
# A wakeup may be lost: every list is looked at this often all the same.
_ROUND_SECONDS = 2.0
_PAUSE_SECONDS = 1.0
_LONGEST_REST_SECONDS = 5.0
_NOBODYS = (Unavailable, redis.ConnectionError, redis.TimeoutError)  # no fault of this host: a server is away


@dataclass
class _Rest:
    """A host whose messages could not be recorded, for a reason that they have no part in."""

    failures: int = 0
    until: float = 0.0


class Receiver:
    """Start it once a process; `watch` it now and then; `stop` lets the batch at hand finish."""

    def __init__(self, context: WorkerContext, name: str) -> None:
        self._context, self._name = context, name
        self._redis = context.dispatch.redis
        self._intake = Intake(context)
        self._ended = threading.Event()
        self._resting: dict[str, _Rest] = {}
        self._waiting: dict[str, None] = {}
        self._looked_at = 0.0
        self._round_at = time.monotonic()
        self._thread = self._made()

    def start(self) -> None:
        """Begin to receive."""
        prometheus.RECEIVER_AGE.set_function(self.age)
        prometheus.RECEIVER_WAITING.set_function(lambda: len(self._resting))
        self._thread.start()

    def stop(self) -> None:
        """Finish the batch at hand and leave."""
        self._ended.set()
        self._context.dispatch.publish(channels.REPORTS_WAKEUP, "")  # it may be listening
        self._thread.join(timeout=10)

    def watch(self) -> None:
        """Start the thread again if it has died."""
        if not self._ended.is_set() and not self._thread.is_alive():
            log.error("the receiver's thread has died; it is started again")
            prometheus.RECEIVER_RESTARTS.inc()
            self._thread = self._made()
            self._thread.start()

    def age(self) -> float:
        """Seconds since it last came round."""
        return time.monotonic() - self._round_at

    def _made(self) -> threading.Thread:
        return threading.Thread(target=self._run, name="receiver", daemon=True)

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                self._listen()
            except (redis.RedisError, Unavailable, OSError) as error:
                log.warning("receiving reports failed (%s); trying again", type(error).__name__)
                self._ended.wait(_PAUSE_SECONDS)
            except Exception:  # the outermost handler of this thread: without it the fleet would go unheard
                log.exception("receiving reports failed unexpectedly; trying again")
                self._ended.wait(_PAUSE_SECONDS)

    def _listen(self) -> None:
        self._let_hosts_in()
        with self._redis.pubsub(ignore_subscribe_messages=True) as wakeups:  # type: ignore[no-untyped-call]
            wakeups.subscribe(channels.REPORTS_WAKEUP)
            while not self._ended.is_set():
                if time.monotonic() - self._looked_at >= _ROUND_SECONDS:
                    self._look_at_all()
                self._waiting |= dict.fromkeys(_woken(wakeups, 0.0 if self._waiting else 1.0))
                self._serve()
                self._round_at = time.monotonic()

    def _let_hosts_in(self) -> None:
        """A Redis that was away may have come back without its accounts; that is not left to the next sweep."""
        try:
            self._context.apply_accounts()
        except (redis.ResponseError, Unavailable) as error:  # what can be heard is heard all the same
            log.warning("the Redis accounts of hosts can't be made: %s", error)

    def _look_at_all(self) -> None:
        """Every host with a list has a turn soon; and the others hear that this receiver is well."""
        mark = channels.reports("")
        keys = self._redis.scan_iter(match=f"{mark}*", count=1000, _type="list")
        names = [key.decode(errors="replace").removeprefix(mark) for key in keys]
        listed = dict.fromkeys(name for name in names if channels.HOST_NAME.fullmatch(name))
        self._waiting |= listed
        self._resting = {host: rest for host, rest in self._resting.items() if host in listed}
        state = ReceiverState(time.time(), len(self._resting))
        self._redis.hset(channels.RECEIVERS, self._name, encode(state))
        self._looked_at = time.monotonic()

    def _serve(self) -> None:
        """One turn for each host that waits; those with more to come keep waiting, behind the others."""
        now, hosts = time.monotonic(), self._waiting
        self._waiting = {}
        for host in hosts:
            rest = self._resting.get(host)
            if self._ended.is_set() or (rest is not None and rest.until > now):
                continue
            try:
                if self._intake.turn(host):
                    self._waiting[host] = None
            except Exception as error:
                if not worlds_fault(error):
                    log.exception("recording the reports of host %s failed unexpectedly; trying again later", host)
                self._rest(host, error)
                if isinstance(error, _NOBODYS) and not isinstance(error, Busy):
                    raise  # nobody's can be recorded: no need to try them all
            else:
                self._resting.pop(host, None)

    def _rest(self, host: str, error: Exception) -> None:
        rest = self._resting.setdefault(host, _Rest())
        rest.failures += 1
        rest.until = time.monotonic() + min(0.25 * 2**rest.failures, _LONGEST_REST_SECONDS)
        if rest.failures == 1:
            log.warning("the reports of host %s can't be recorded now; trying again later: %s", host, _words(error))


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {getattr(error, 'orig', error)}"[:300]


def _woken(wakeups: PubSub, seconds: float) -> list[str]:
    """The hosts that have sent wakeups by now, each once; none after so many seconds of silence."""
    hosts: dict[str, None] = {}
    for number in range(_WAKEUPS):
        message = wakeups.get_message(timeout=0.0 if number else seconds)
        if message is None:
            break
        hosts[message["data"].decode(errors="replace")] = None
    return [host for host in hosts if channels.HOST_NAME.fullmatch(host)]
