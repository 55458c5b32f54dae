"""The microvm dialect's sockets, under gunicorn."""

from __future__ import annotations

import socket

import pytest

from tests.realtime.clients import Refused, SocketClient
from tests.realtime.servers import Served
from tests.support.record import Caller, Record
from tests.support.waiting import until

SYSTEM = "/api/v1/system/events"


@pytest.fixture
def owner(world: Record) -> Caller:
    return world.caller()


def test_a_vms_events_are_as_documented(served: Served, world: Record, owner: Caller) -> None:
    vm, other = world.vm(owner), world.vm(owner)
    client = served.client(f"/api/v1/vms/{vm.name}/events", owner.secret)
    world.tell(other)
    world.tell(vm)
    message = client.receive()
    assert message.pop("timestamp").endswith("Z")
    assert message == {
        "event_type": "status_change",
        "vm_name": vm.name,
        "data": {"old_status": "stopped", "new_status": "running"},
        "seq": world.newest(),
    }
    client.close()


def test_system_events_are_as_documented(served: Served, world: Record, owner: Caller) -> None:
    vm, admin = world.vm(owner), world.caller("admin")
    client = served.client(SYSTEM, admin.secret)
    world.tell(vm, "vm_created", {"vm_name": vm.name, "user_id": owner.actor.user_id})
    world.tell(vm)
    world.tell_of_host()
    created, changed, silent = (client.receive() for _ in range(3))
    assert set(created) == {"event_type", "timestamp", "data", "seq", "vm_id"}
    assert created["vm_id"] == vm.id
    assert created["event_type"] == "vm_created"
    assert created["data"] == {"vm_name": vm.name, "user_id": owner.actor.user_id}
    assert changed["vm_name"] == vm.name
    assert silent["data"] == {"host": "host-a"}
    client.close()


def test_what_happens_right_after_the_handshake_is_heard(served: Served, world: Record, owner: Caller) -> None:
    vm = world.vm(owner)
    for _ in range(20):
        client = served.client(SYSTEM, owner.secret)
        world.tell(vm)
        assert client.seqs(1) == [world.newest()]
        client.close()


def test_nobody_hears_of_anothers_vm_and_all_of_hosts(served: Served, world: Record, owner: Caller) -> None:
    other = world.caller()
    mine, his = world.vm(owner), world.vm(other)
    client = served.client(f"{SYSTEM}?after={world.newest()}", owner.secret)
    world.tell(his)
    world.tell_of_host()
    world.tell(mine)
    assert client.seqs(2) == [world.newest() - 1, world.newest()]
    client.close()


def test_after_replays_then_goes_on(served: Served, world: Record, owner: Caller) -> None:
    vm, first = world.vm(owner), world.newest()
    world.tell(vm, times=5)
    client = served.client(f"/api/v1/vms/{vm.id}/events?after={first + 2}", owner.secret)
    assert client.seqs(3) == [first + 3, first + 4, first + 5]
    world.tell(vm, times=2)
    assert client.seqs(2) == [first + 6, first + 7]
    client.close()


def test_a_browser_authenticates_with_its_first_message(served: Served, world: Record, owner: Caller) -> None:
    vm = world.vm(owner)
    path = f"/api/v1/vms/{vm.name}/events"
    client, witness = served.client(path), served.client(path, owner.secret)
    world.tell(vm)
    assert witness.seqs(1) == [world.newest()]
    witness.close()
    client.send({"type": "auth", "token": owner.secret})
    assert client.receive() == {"type": "authenticated"}
    world.tell(vm)
    assert client.seqs(1) == [world.newest()]
    client.close()


@pytest.mark.parametrize(
    "message",
    ['{"type": "auth", "token": "no"}', '{"type": "auth"}', "{", "[]", "null", '{"type": "auth", "token": "\\u00e9"}'],
)
def test_a_first_message_that_does_not_hold_ends_it(served: Served, message: str) -> None:
    client = served.client(SYSTEM)
    client.send(message)
    assert client.closed().code == 4401


def test_a_browsers_vm_that_is_not_there(served: Served, owner: Caller) -> None:
    client = served.client("/api/v1/vms/nothing/events")
    client.send({"type": "auth", "token": owner.secret})
    end = client.closed()
    assert (end.code, end.reason) == (4404, "VM 'nothing' not found")


def refused(served: Served, path: str, headers: dict[str, str]) -> int:
    with pytest.raises(Refused) as caught:
        SocketClient(served.port, path, headers)
    return caught.value.status


def test_refusals_come_before_the_handshake(served: Served, world: Record, owner: Caller) -> None:
    his = world.vm(world.caller())
    good, bad = {"Authorization": f"Bearer {owner.secret}"}, {"Authorization": "Bearer wrong"}
    assert refused(served, SYSTEM, bad) == 401
    assert refused(served, SYSTEM, {"X-API-Key": "wrong"}) == 401
    assert refused(served, f"/api/v1/vms/{his.name}/events", good) == 404
    assert refused(served, "/api/v1/vms/a%00b/events", good) == 404
    for after in ("-1", "x", "1" * 30, "%D9%A1", ""):
        assert refused(served, f"{SYSTEM}?after={after}", good) == 400
    assert refused(served, SYSTEM, good | {"Sec-WebSocket-Version": "8"}) == 400
    assert refused(served, SYSTEM, good | {"Sec-WebSocket-Key": ""}) == 400
    assert refused(served, SYSTEM, good | {"Sec-WebSocket-Key": "short"}) == 400
    assert refused(served, SYSTEM, good | {"Upgrade": ""}) == 400


def test_a_key_in_its_own_header_may_listen_too(served: Served, world: Record, owner: Caller) -> None:
    client = SocketClient(served.port, SYSTEM, {"X-API-Key": owner.secret})
    world.tell(world.vm(owner))
    assert client.seqs(1) == [world.newest()]
    client.close()


def test_a_deleted_vms_socket_ends_with_the_news(served: Served, world: Record, owner: Caller) -> None:
    vm = world.vm(owner)
    client = served.client(f"/api/v1/vms/{vm.name}/events", owner.secret)
    everything = served.client(SYSTEM, owner.secret)
    world.tell(vm, "vm_deleted", {})
    assert client.receive()["event_type"] == "vm_deleted"
    end = client.closed()
    assert (end.code, end.reason) == (1000, "the VM was deleted")
    assert everything.receive()["event_type"] == "vm_deleted"
    world.tell(world.vm(owner))
    everything.seqs(1)
    everything.close()


def test_a_message_too_big_ends_it_and_is_told_the_limit(served: Served, owner: Caller) -> None:
    client = served.client(SYSTEM, owner.secret)
    client.send("x" * 20_000)
    end = client.closed()
    assert (end.code, end.reason) == (1009, "a message has at most 16384 bytes: split it")


def test_too_many_messages_are_taken_more_slowly_and_none_ends_it(served: Served, world: Record, owner: Caller) -> None:
    client = served.client(SYSTEM, owner.secret)
    for _ in range(700):
        client.send("x")
    world.tell(world.vm(owner))
    assert client.seqs(1) == [world.newest()]
    client.close()


def test_a_client_may_talk_though_nobody_answers(served: Served, world: Record, owner: Caller) -> None:
    client = served.client(SYSTEM, owner.secret)
    for _ in range(20):
        client.send("x" * 5000)
    world.tell(world.vm(owner))
    assert client.seqs(1) == [world.newest()]
    client.close()


def test_a_slow_reader_is_cut_and_the_others_are_not(served: Served, world: Record, owner: Caller) -> None:
    vm, first = world.vm(owner), world.newest()
    slow = served.client(SYSTEM, owner.secret, buffer=4096)
    quick = served.client(SYSTEM, owner.secret)
    data = {"padding": "x" * 2000}
    for turn in range(15):
        world.tell(vm, data=data, times=50)
        assert quick.seqs(50) == list(range(first + turn * 50 + 1, first + turn * 50 + 51))
    got, end = slow.seqs_to_the_end()
    assert end.code == 4008
    assert got == list(range(first + 1, first + 1 + len(got)))
    assert 0 < len(got) < 750
    quick.close()


def test_a_closed_socket_leaves_nothing_behind(served: Served, world: Record, owner: Caller) -> None:
    files, threads = served.worker.num_fds(), served.worker.num_threads()
    clients = [served.client(SYSTEM, owner.secret) for _ in range(30)]
    assert served.worker.num_fds() >= files + 30
    for number, client in enumerate(clients):
        if number % 2:
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset
        client.close()
    until(lambda: served.worker.num_fds() <= files + 2)
    assert served.worker.num_threads() <= threads + 1
