"""The vboxmcp dialect's socket, under gunicorn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.realtime.clients import SocketClient
from tests.realtime.servers import Served
from tests.support.record import Caller, Record

WS = "/api/v1/ws"
STATES = {"type": "subscribe", "events": ["vm.state_changed", "vm.console_output"]}


@pytest.fixture
def owner(world: Record) -> Caller:
    return world.caller()


@pytest.fixture
def client(served: Served, owner: Caller) -> Iterator[SocketClient]:
    """Authenticated."""
    made = served.client(WS)
    made.send({"type": "auth", "api_key": owner.secret})
    assert made.receive() == {"type": "authenticated", "username": owner.actor.username}
    yield made
    made.close()


def asked(client: SocketClient, message: Any) -> dict[str, Any]:
    """The answer to a message."""
    client.send(message)
    return client.receive()


def test_a_state_change_is_told_in_this_dialects_words(client: SocketClient, world: Record, owner: Caller) -> None:
    vm = world.vm(owner)
    world.tell(vm)
    assert asked(client, STATES) == {
        "type": "subscribed",
        "events": ["vm.console_output", "vm.state_changed"],
        "vm_id": None,
    }
    world.tell(vm, data={"old_status": "created", "new_status": "starting"})
    event = client.receive()
    assert event.pop("timestamp").endswith("Z")
    assert event == {
        "type": "event",
        "event": "vm.state_changed",
        "seq": world.newest(),
        "data": {"vm_id": vm.id, "name": vm.name, "old_state": "poweroff", "new_state": "starting"},
    }


def test_what_this_dialect_calls_the_same_is_no_change(client: SocketClient, world: Record, owner: Caller) -> None:
    vm = world.vm(owner)
    asked(client, STATES)
    world.tell(vm, data={"old_status": "created", "new_status": "stopped"})
    world.tell(vm, "vm_deleted")
    world.tell(vm)
    assert client.seqs(1) == [world.newest()]


def test_nothing_comes_before_authentication(
    client: SocketClient, served: Served, world: Record, owner: Caller
) -> None:
    asked(client, STATES)
    unknown = served.client(WS)
    world.tell(world.vm(owner))
    assert client.seqs(1) == [world.newest()]
    client = unknown
    client.send(STATES)
    error = client.receive()
    assert (error["type"], error["error"]["code"]) == ("error", "unauthorized")
    assert client.closed().code == 4401


@pytest.mark.parametrize("key", ["wrong", "", None, 7, "\0", "\ud800", "x" * 9000])
def test_a_bad_key_is_an_error_and_the_end(served: Served, key: Any) -> None:
    client = served.client(WS)
    client.send({"type": "auth", "api_key": key})
    error = client.receive()
    assert (error["type"], error["error"]["code"]) == ("error", "unauthorized")
    assert client.closed().code == 4401


@pytest.mark.parametrize(
    "message",
    [
        "", "{", "[]", "null", "7", '"x"', "[" * 9000, "{}", '{"type": null}', '{"type": ["subscribe"]}',
        '{"type": "auth", "api_key": "again"}',
        '{"type": "subscribe"}', '{"type": "subscribe", "events": []}', '{"type": "subscribe", "events": "x"}',
        '{"type": "subscribe", "events": ["vm.nothing"]}', '{"type": "subscribe", "events": [[]]}',
        '{"type": "subscribe", "events": ["vm.created"], "after": -1}',
        '{"type": "subscribe", "events": ["vm.created"], "after": true}',
        '{"type": "subscribe", "events": ["vm.created"], "after": 1e3}',
        '{"type": "subscribe", "events": ["vm.created"], "after": 99999999999999999999999}',
        '{"type": "subscribe", "events": ["vm.created"], "vm_id": 7}',
        '{"type": "subscribe", "events": ["vm.created"], "vm_id": "a\\u0000b"}',
        '{"type": "subscribe", "events": ["vm.created"], "vm_id": "\\ud800"}',
        '{"type": "unsubscribe", "events": [{}]}',
    ],
)  # fmt: skip
def test_a_malformed_message_is_an_error_and_not_the_end(client: SocketClient, message: str) -> None:
    answer = asked(client, message)
    assert (answer["type"], answer["error"]["code"]) == ("error", "invalid_request")
    assert answer["error"]["message"]
    assert asked(client, STATES)["type"] == "subscribed"


def test_one_vm_may_be_asked_for(client: SocketClient, world: Record, owner: Caller) -> None:
    one, two, his = world.vm(owner), world.vm(owner), world.vm(world.caller())
    assert asked(client, STATES | {"vm_id": his.id})["error"]["code"] == "vm_not_found"
    assert asked(client, STATES | {"vm_id": one.name})["vm_id"] == one.id
    world.tell(two)
    world.tell(his)
    world.tell(one)
    assert client.seqs(1) == [world.newest()]


def test_subscribing_again_changes_nothing_and_unsubscribing_ends_it(
    client: SocketClient, world: Record, owner: Caller
) -> None:
    one, two = world.vm(owner), world.vm(owner)
    for _ in range(70):
        asked(client, STATES)
    asked(client, STATES | {"vm_id": one.id})
    world.tell(one)
    assert client.seqs(1) == [world.newest()]
    assert asked(client, {"type": "unsubscribe", "vm_id": one.id})["type"] == "unsubscribed"
    world.tell(two)
    assert client.seqs(1) == [world.newest()]
    asked(client, {"type": "subscribe", "events": ["vm.created"]})
    asked(client, {"type": "unsubscribe", "events": ["vm.state_changed"]})
    world.tell(one)
    world.tell(one, "vm_created", {"vm_name": one.name})
    assert client.receive()["event"] == "vm.created"
    asked(client, {"type": "unsubscribe"})
    world.tell(one, "vm_created", {"vm_name": one.name})
    asked(client, STATES)
    world.tell(one)
    assert client.seqs(1) == [world.newest()]


def test_after_replays_what_is_asked_for_and_goes_on(client: SocketClient, world: Record, owner: Caller) -> None:
    vm, first = world.vm(owner), world.newest()
    world.tell(vm, times=3)
    world.tell(vm, "operation", {"state": "running"})
    assert asked(client, STATES | {"after": first + 1})["type"] == "subscribed"
    world.tell(vm)
    assert client.seqs(3) == [first + 2, first + 3, first + 5]
