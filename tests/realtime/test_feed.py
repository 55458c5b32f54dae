"""The order of events, and what a listener hears of them."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator

import pytest

from api.realtime.hub import Hub
from api.realtime.listener import QUEUE_LIMIT, Interest, Listener
from cli.fleet.redis import Redis
from core.contract import channels
from core.services.context import Actor
from tests.support.record import Caller, Record
from tests.support.waiting import until

ADMIN = Actor("admin", "admin", "admin")


@pytest.fixture
def listener(hub: Hub) -> Iterator[Listener]:
    """One that hears everything from now on."""
    made = hub.listen()
    made.actor = ADMIN
    hub.follow(made, Interest())
    yield made
    hub.leave(made)


@pytest.fixture
def owner(world: Record) -> Caller:
    return world.caller()


def heard(listener: Listener) -> list[int]:
    """The numbers in its queue."""
    return [note.seq for note in iter(listener.next, None) if note is not None]


def test_events_come_in_order_and_once(listener: Listener, world: Record, owner: Caller) -> None:
    vm, first = world.vm(owner), world.newest()
    for _ in range(5):
        world.tell(vm, times=10)
    until(lambda: listener.backlog == 50)
    assert heard(listener) == list(range(first + 1, first + 51))


def test_publications_out_of_order_doubled_and_lost(
    hub: Hub, listener: Listener, world: Record, owner: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    vm, first = world.vm(owner), world.newest()
    assert hub.start().wait_up(5)
    held: list[str] = []
    monkeypatch.setattr(world.dispatch, "publish", lambda _channel, text: held.append(text))
    for _ in range(40):
        world.tell(vm)
    monkeypatch.undo()
    chance = random.Random(4)
    sent = [text for text in held if chance.random() < 0.8] * 2
    chance.shuffle(sent)
    for text in sent:
        world.dispatch.publish(channels.EVENTS, text)
    world.tell(vm)  # heard after all that was published before it
    until(lambda: listener.backlog >= 41)
    assert heard(listener) == list(range(first + 1, first + 42))


def test_a_number_that_was_rolled_back_holds_nobody_up(listener: Listener, world: Record, owner: Caller) -> None:
    vm, first = world.vm(owner), world.newest()
    with world.engine.connect() as connection:
        connection.exec_driver_sql("SELECT nextval(pg_get_serial_sequence('events', 'seq'))")
    world.tell(vm)
    until(lambda: listener.backlog == 1, 2)
    assert heard(listener) == [first + 2]


def test_the_last_event_is_found_though_its_publication_is_lost(
    listener: Listener, world: Record, owner: Caller
) -> None:
    vm = world.vm(owner)
    world.tell_in_silence(vm)
    until(lambda: listener.backlog == 1)
    assert heard(listener) == [world.newest()]


def test_an_invented_number_is_not_waited_for(hub: Hub, listener: Listener, world: Record, owner: Caller) -> None:
    vm, first = world.vm(owner), world.newest()
    world.tell(vm)
    until(lambda: listener.backlog == 1)
    note = {
        "seq": first + 10**6, "type": "status_change", "at": "", "owner_id": None, "vm_id": None, "vm_name": None,
        "operation_id": None, "host_name": None, "data": {},
    }  # fmt: skip
    world.dispatch.publish(channels.EVENTS, json.dumps([note]))
    until(lambda: hub._feed._waiting)
    until(lambda: not hub._feed._waiting, 1)
    world.tell(vm)
    until(lambda: listener.backlog == 2)
    assert heard(listener) == [first + 1, first + 2]


def test_what_happens_while_redis_is_away_is_heard(
    hub: Hub, listener: Listener, world: Record, owner: Caller, own_redis: Redis
) -> None:
    vm, first = world.vm(owner), world.newest()
    world.tell(vm)
    until(lambda: listener.backlog == 1)
    own_redis.kill()
    for _ in range(3):
        world.tell(vm, times=80)  # less in all than a queue holds: nobody reads it yet
    own_redis.start()
    assert hub.start().wait_up(10)
    heard_so_far: list[int] = []
    until(lambda: heard_so_far.extend(heard(listener)) or len(heard_so_far) >= 241)  # type: ignore[func-returns-value]
    assert heard_so_far == list(range(first + 1, first + 242))


def test_nobody_hears_of_what_is_not_theirs(hub: Hub, world: Record, owner: Caller) -> None:
    other = world.caller()
    mine, his = world.vm(owner), world.vm(other)
    listener = hub.listen()
    hub.follow(listener, Interest())
    world.tell(mine)
    until(lambda: hub._feed.position == world.newest())
    listener.actor = owner.actor
    world.tell(his)
    world.tell_of_host()
    world.tell(mine)
    until(lambda: listener.backlog == 2)
    assert heard(listener) == [world.newest() - 1, world.newest()]
    replayed = list(hub.replay(listener, Interest(after=0)))
    assert {note.vm_id for note in replayed} == {mine.id, None}
    assert {note.type for note in replayed if note.vm_id is None} == {"host_offline"}
    hub.leave(listener)


def test_a_full_queue_is_cut_and_slows_nobody(hub: Hub, listener: Listener, world: Record, owner: Caller) -> None:
    slow = hub.listen()
    slow.actor = ADMIN
    hub.follow(slow, Interest())
    vm, got = world.vm(owner), []
    for _ in range(6):
        world.tell(vm, times=100)
        until(lambda: listener.backlog == 100)
        got += heard(listener)
    assert len(got) == 600
    assert slow.is_cut
    assert slow.backlog == 0
    assert not listener.is_cut
    hub.leave(slow)


def test_a_queue_holds_what_it_should(hub: Hub, listener: Listener, world: Record, owner: Caller) -> None:
    vm = world.vm(owner)
    world.tell(vm, times=QUEUE_LIMIT)
    until(lambda: listener.backlog == QUEUE_LIMIT)
    world.tell(vm)
    until(lambda: listener.is_cut)


def test_replay_and_live_join_without_gap_or_repeat(hub: Hub, world: Record, owner: Caller) -> None:
    vm, first = world.vm(owner), world.newest()
    done = threading.Event()

    def write(chance: random.Random) -> None:
        while not done.wait(0.001):
            world.tell(vm, times=chance.randint(1, 4))

    writers = [threading.Thread(target=write, args=[random.Random(seed)]) for seed in range(4)]
    for writer in writers:
        writer.start()
    results = []
    for _ in range(8):
        listener = hub.listen()
        listener.actor = owner.actor
        got = [note.seq for note in hub.replay(listener, Interest(after=first))]
        until(lambda: listener.backlog > 20)  # noqa: B023  # it is called before the next one
        got += heard(listener)
        results.append(got)
        hub.leave(listener)
    done.set()
    for writer in writers:
        writer.join()
    for got in results:
        assert got == list(range(first + 1, first + 1 + len(got)))
    assert len(results[-1]) > len(results[0]) > 20


def test_a_long_history_is_replayed_in_pages(hub: Hub, world: Record, owner: Caller) -> None:
    vm, first = world.vm(owner), world.newest()
    world.tell(vm, times=2500)
    listener = hub.listen()
    listener.actor = owner.actor
    assert [note.seq for note in hub.replay(listener, Interest(vm_id=vm.id))] == list(range(first + 1, first + 2501))
    hub.leave(listener)


def test_a_number_from_the_future_is_taken_as_the_newest(hub: Hub, world: Record, owner: Caller) -> None:
    vm = world.vm(owner)
    listener = hub.listen()
    listener.actor = owner.actor
    assert list(hub.replay(listener, Interest(after=10**15))) == []
    world.tell(vm)
    until(lambda: listener.backlog == 1)
    hub.leave(listener)
