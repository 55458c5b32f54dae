"""The hub of an API process: ends of operations, replies to its calls, and events for its sockets."""

from __future__ import annotations

import json
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from sqlalchemy.engine import Engine

from api.monitoring.meters import HELD, SOCKETS, metered
from api.realtime.awaited import Awaited
from api.realtime.feed import Feed
from api.realtime.listener import Interest, Listener
from api.realtime.record import EventReader
from api.realtime.streams import ApiStreams
from api.realtime.subscription import Subscription
from core.asking import PendingCall
from core.contract import channels
from core.contract.errors import Invalid, NotSent, Unavailable
from core.contract.messages import JSON, Reply, VmSpec, build, decode
from core.contract.states import ENDED
from core.dispatch import Dispatch
from core.services.events import EventMessage
from core.streams import Stream

log = logging.getLogger(__name__)

_REREAD_SECONDS = 2.0
_FIRST_LOOK_SECONDS = 1.0
_SUBSCRIBE_SECONDS = 5.0
_LOOK_UP_SECONDS = 0.5  # how soon it is seen that a client has hung up
_DRAIN_SECONDS = 20.0  # a call under way at a shutdown may still take so long; less than gunicorn's graceful timeout


class Hub:
    """One a process. It starts by itself when first used, so that it may be made before a fork."""

    def __init__(self, redis_url: str, engine: Engine, dispatch: Dispatch) -> None:
        self._redis_url, self._dispatch = redis_url, dispatch
        self._starting = threading.Lock()
        self._streams = ApiStreams(redis_url)
        self._record = EventReader(engine)
        self._feed = Feed(self._record)
        self._operations, self._replies = Awaited[str](), Awaited[Reply]()
        self._subscription: Subscription | None = None
        self._reply_to = ""
        self._drained_at: float | None = None

    def start(self) -> Subscription:
        """Subscribe, once; returns before the subscription is up."""
        with self._starting:
            if self._subscription is None:
                self._reply_to = channels.replies(f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}")
                self._subscription = Subscription(
                    self._redis_url, (channels.EVENTS, self._reply_to), self._hear, self._feed.resync
                )
                self._subscription.start()
            return self._subscription

    def close(self) -> None:
        """End its threads."""
        self._feed.close()
        self._streams.close()
        if self._subscription is not None:
            self._subscription.close()

    @property
    def draining(self) -> bool:
        """Whether this process is about to end."""
        return self._drained_at is not None

    def drain(self) -> None:
        """Let everyone who waits go: operations at once, sockets at once, calls within a few seconds."""
        self._drained_at = self._drained_at or time.monotonic()
        self._operations.wake_all()
        self._replies.wake_all()
        self._feed.wake_all()

    def wait_operation(
        self, operation_id: str, timeout: float, read: Callable[[], bool], *, just_begun: bool = False
    ) -> bool:
        """Whether that operation has ended, as `read()` or its event says, within `timeout` seconds.

        `read` asks the record; it is called at first and then now and then, for a message may be lost. An operation
        that has `just_begun` is given a moment first: its event will most likely spare the question.
        """
        self.start()
        deadline = time.monotonic() + timeout
        with self._operations.expect(operation_id) as slot, HELD.track_inprogress():
            if just_begun and slot.changed.wait(min(timeout, _FIRST_LOOK_SECONDS)) and slot.value is not None:
                return True
            while not _says_yes(read):
                left = deadline - time.monotonic()
                if left <= 0 or self.draining:
                    return False
                slot.changed.wait(min(left, _REREAD_SECONDS))
                if slot.value is not None:
                    return True
            return True

    def call(
        self,
        host: str,
        verb: str,
        vm: VmSpec | None,
        params: JSON,
        timeout: float,
        gone: Callable[[], bool] | None = None,
    ) -> JSON:
        """What the host answers, within `timeout` seconds.

        `Unavailable` when it does not answer; otherwise the error that its reply tells of. With `gone`, which says
        whether nobody wants the answer any more, the host is told when that is so, or when the answer is late.
        """
        with metered(verb):
            return self._call(host, verb, vm, params, timeout, gone)

    def _call(
        self, host: str, verb: str, vm: VmSpec | None, params: JSON, timeout: float, gone: Callable[[], bool] | None
    ) -> JSON:
        subscription = self.start()
        until = time.monotonic() + timeout
        call = PendingCall(self._dispatch, host, verb, vm, params, timeout=timeout, reply_to=self._reply_to)
        if not subscription.wait_up(min(timeout, _SUBSCRIBE_SECONDS)):
            raise NotSent("the message broker can't be reached: the host was not asked; try again in a few seconds")
        with self._replies.expect(call.id) as slot:
            call.send()
            while slot.value is None and (left := self._left(until)) > 0 and not (gone and gone()):
                slot.changed.wait(min(left, _LOOK_UP_SECONDS) if gone else left)
                slot.changed.clear()
        if slot.value is None:
            if gone is not None:
                call.abandon()
            raise self._restarted(host) if self.draining else call.unanswered()
        return call.result(slot.value)

    def stream(self, host: str, verb: str, vm: VmSpec | None, params: JSON, timeout: float) -> Stream:
        """A stream that the host's agent has opened at a call of that verb; `close` it in the end. Errors as `call`."""
        stream_id, stream = self._streams.prepare(vm.owner if vm else "")
        try:
            self.call(host, verb, vm, {**params, "stream": stream_id}, timeout)
        except BaseException:
            stream.close()
            raise
        return stream

    def listen(self) -> Listener:
        """A new listener, which hears nothing until it has an actor and interests. `leave` it in the end.

        `Unavailable` while the process ends, or without a database.
        """
        if self.draining:
            raise Unavailable("this server is being restarted; try again in a second")
        self.start()
        self._feed.start()
        listener = Listener()
        self._feed.add(listener)
        SOCKETS.inc()
        return listener

    def leave(self, listener: Listener) -> None:
        """The listener's socket is gone."""
        self._feed.remove(listener)
        SOCKETS.dec()

    def follow(self, listener: Listener, interest: Interest) -> None:
        """From now on, events of that interest too."""
        self._feed.set_interests(listener, *_with(listener, interest))

    def unfollow(self, listener: Listener, keep: tuple[Interest, ...]) -> None:
        """From now on, only events of the interests in `keep`."""
        self._feed.set_interests(listener, *keep)

    def replay(self, listener: Listener, interest: Interest) -> Iterator[EventMessage]:
        """The recorded events of that interest after its `after`, then `follow` from exactly there.

        The listener joins only when the record is all but read: a long history does not fill its queue.
        """
        cursor, position = min(interest.after, self._record.newest()), None
        while actor := listener.actor:
            page = self._record.since(cursor, actor, interest.vm_id)
            if position is not None:
                page = [note for note in page if note.seq <= position]
            wanted = replace(interest, after=cursor)
            yield from filter(wanted.wants, page)
            cursor = page[-1].seq if page else cursor
            if len(page) == self._record.page_size:
                continue
            if position is not None:
                return
            position = self._feed.set_interests(listener, *_with(listener, replace(interest, after=cursor)))

    def _left(self, until: float) -> float:
        now = time.monotonic()
        if self._drained_at is not None:
            until = min(until, self._drained_at + _DRAIN_SECONDS)
        return until - now

    def _restarted(self, host: str) -> Unavailable:
        return Unavailable(f"this server is being restarted and did not wait for host '{host}'", host=host)

    def _hear(self, channel: str, data: bytes) -> None:
        try:
            if channel == channels.EVENTS:
                self._hear_events(_items(data))
            else:
                reply = decode(Reply, data)
                self._replies.arrive(reply.call_id, reply)
        except (Invalid, ValueError, RecursionError) as error:
            log.warning("ignored a malformed message on '%s': %s", channel, error)

    def _hear_events(self, items: list[JSON]) -> None:
        """Every process hears of everything: only what somebody here waits for is looked at closely."""
        for item in items:
            if item.get("type") == "operation" and self._operations.expects(str(item.get("operation_id"))):
                note = build(EventMessage, item)
                if note.operation_id and note.data.get("state") in ENDED:
                    self._operations.arrive(note.operation_id, note.data["state"])
        if self._feed.started:
            self._feed.take([build(EventMessage, item) for item in items])


def _items(data: bytes) -> list[JSON]:
    items = json.loads(data)
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise Invalid("not a list of events")
    return items


def _with(listener: Listener, new: Interest) -> tuple[Interest, ...]:
    """What it wants, and the new interest in the place of an equal one."""
    others = (old for old in listener.interests if (old.types, old.vm_id) != (new.types, new.vm_id))
    return (*others, new)


def _says_yes(read: Callable[[], bool]) -> bool:
    """What `read` says; a database that is away for a moment says nothing, and the wait goes on."""
    try:
        return read()
    except Unavailable:
        return False
