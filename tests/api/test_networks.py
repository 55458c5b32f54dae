"""Networks and port forwards over HTTP, in both dialects, on a fleet of real processes with the fake driver."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import delete

from core.contract.hosts import HostFacts, HostNetwork
from core.models import Host, Operation, Vm
from tests.api.world import Caller, World, problem
from tests.support.clients import Client


@pytest.fixture
def vm(client: Client) -> str:
    """The network of a running VM."""
    assert client.call("POST", "/vms", client.bearer, {"name": "net"}).status_code == 201
    assert client.call("POST", "/vms/net/start", client.bearer).status_code == 200
    return "/vms/net/network"


def test_the_documents_forward_and_its_end(client: Client, vm: str) -> None:
    asked = {"host_port": 0, "guest_port": 80, "protocol": "tcp", "description": "Web server"}
    answer = client.call("POST", f"{vm}/port-forward", client.bearer, asked)
    made = answer.json()
    assert answer.status_code == 201
    assert (made["message"], made["vm_name"]) == ("Port forward configured", "net")
    assert (made["guest_port"], made["protocol"], made["host_address"]) == (80, "tcp", "127.0.0.1")
    assert 20000 <= made["host_port"] <= 29999
    port = made["host_port"]

    again = client.call("POST", f"{vm}/port-forward", client.bearer, {"host_port": port, "guest_port": 81})
    assert (again.status_code, again.json()["error"]) == (409, "conflict")
    (listed,) = client.call("GET", f"{vm}/port-forwards", client.bearer).json()["port_forwards"]
    assert listed == {name: value for name, value in made.items() if name not in ("message", "vm_name")}
    shown = client.call("GET", vm, client.bearer).json()
    assert shown["port_forwards"] == [listed]
    client.call("POST", "/vms/net/restart", client.bearer, {"force": True})
    assert client.call("GET", vm, client.bearer).json()["port_forwards"] == [listed]
    assert client.call("DELETE", f"{vm}/port-forwards/{port}?protocol=udp", client.bearer).status_code == 404
    assert client.call("DELETE", f"{vm}/port-forwards/{port}", client.bearer).status_code == 204
    assert client.call("DELETE", f"{vm}/port-forwards/{port}", client.bearer).status_code == 404
    assert client.call("GET", f"{vm}/port-forwards?limit=1", client.bearer).json()["total"] == 0


def test_the_same_in_vboxmcp(client: Client, vm: str) -> None:
    answer = client.call("POST", f"{vm}/port-forward", client.key, {"guest_port": 53, "protocol": "udp"})
    assert (answer.status_code, answer.json()["status"]) == (201, "success")
    made = answer.json()["data"]
    listed = client.call("GET", f"{vm}/port-forwards", client.key).json()
    assert (listed["total"], listed["data"][0]["id"]) == (1, made["id"])
    assert client.call("GET", vm, client.key).json()["data"]["port_forwards"][0]["protocol"] == "udp"
    assert client.call("DELETE", f"{vm}/port-forwards/{made['id']}", client.key).status_code == 204
    assert client.call("GET", "/networks", client.key).json()["data"][0]["type"] == "user"


def test_a_port_that_another_program_has_is_a_conflict_and_stays_free_for_others(client: Client, vm: str) -> None:
    port = client.call("POST", f"{vm}/port-forward", client.bearer, {"guest_port": 80}).json()["host_port"]
    assert client.call("DELETE", f"{vm}/port-forwards/{port}", client.bearer).status_code == 204
    wanted = {"host_port": port, "guest_port": 80}
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", port))
        stranger.listen(1)
        answer = client.call("POST", f"{vm}/port-forward", client.bearer, wanted)
        assert (answer.status_code, answer.json()["error"]) == (409, "conflict")
        assert "another program" in answer.json()["message"]
        client.call("POST", "/vms/net/stop", client.bearer, {"force": True})
        assert client.call("POST", f"{vm}/port-forward", client.bearer, wanted).status_code == 409
    assert client.call("POST", f"{vm}/port-forward", client.bearer, wanted).status_code == 201
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", wanted["host_port"]))
        stranger.listen(1)
        started = client.call("POST", "/vms/net/start", client.bearer)
        assert started.status_code == 409
        assert str(wanted["host_port"]) in started.json()["message"]
    assert client.call("POST", "/vms/net/start", client.bearer).status_code == 200


def test_networks_and_a_vms_place_are_told_truthfully(client: Client, vm: str) -> None:
    listed = client.call("GET", "/networks", client.bearer).json()
    hosts = [each["host"] for each in listed["networks"]]
    assert (listed["total"], hosts) == (2, ["host-a", "host-b"])
    where = client.call("GET", "/vms/net", client.bearer).json()["host"]
    (one,) = client.call("GET", f"/networks?host={where}", client.bearer).json()["networks"]
    documented = {"name": "user", "type": "user", "subnet": "10.0.2.0/24", "gateway": "10.0.2.2", "dhcp_enabled": True}
    assert documented.items() <= one.items()
    assert one["vms_connected"] >= 1
    place = client.call("GET", vm, client.bearer).json()
    assert place["vm_name"] == "net"
    assert (place["ip_address"], place["source"], place["connectivity_status"]) == ("10.0.2.15", "guest", "connected")
    assert (place["bridge_name"], place["network_interface"], place["type"]) == ("user", "user", "user")
    client.call("POST", "/vms/net/stop", client.bearer, {"force": True})
    place = client.call("GET", vm, client.bearer).json()
    assert (place["source"], place["connectivity_status"]) == ("recorded", "disconnected")


@pytest.fixture(scope="module")
def owner(world: World) -> Caller:
    return world.caller()


@pytest.fixture
def passing_host(world: World) -> Iterator[Any]:
    """Adds a host for the test alone: others are to find none like it."""
    added = []

    def add(name: str, **values: Any) -> None:
        added.append(name)
        world.record.add_host(name, **values)

    yield add
    with world.context.transaction() as session:
        for table in (Operation, Vm):
            session.execute(delete(table).where(table.host_name.in_(added)))
        session.execute(delete(Host).where(Host.name.in_(added)))


def test_a_host_that_does_not_answer_delays_it_by_three_seconds_at_most(
    world: World, owner: Caller, passing_host: Any
) -> None:
    driver: dict[str, Any] = {"name": "fake", "healthy": True, "version": "1", "acceleration": "", "problem": ""}
    passing_host("host-mute", drivers=[{**driver, "capabilities": ["guest_network"]}])
    world.add_vm(owner, name="mute", host_name="host-mute", observed="running", wanted="running")
    shown = world.get("/vms/mute/network", owner.bearer)
    assert shown.status_code == 200
    assert (shown.json["connectivity_status"], shown.json["source"]) == ("unknown", "recorded")


def test_another_users_vm_and_a_vm_in_another_state_are_refused(world: World, owner: Caller) -> None:
    vm = world.add_vm(owner, name="theirs")
    failed = world.add_vm(owner, name="failed", observed=None)
    stranger = world.caller()
    for who, ref, status in ((stranger, vm, 404), (owner, failed, 409), (owner, "nothing", 404)):
        for headers in (who.bearer, who.key):
            answer = world.post(f"/vms/{ref}/network/port-forward", headers, json={"guest_port": 80})
            assert answer.status_code == status, answer.text
    for path in ("", "/port-forwards"):
        assert world.get(f"/vms/{vm}/network{path}", stranger.bearer).status_code == 404
    assert problem(world.delete(f"/vms/{vm}/network/port-forwards/80", stranger.bearer))[0] == 404
    reader = world.caller(access="read")
    mine = world.add_vm(reader, name="mine")
    assert world.get(f"/vms/{mine}/network", reader.key).status_code == 200
    assert world.post(f"/vms/{mine}/network/port-forward", reader.key, json={"guest_port": 80}).status_code == 403


def test_an_idempotency_key_forwards_once(world: World, owner: Caller) -> None:
    vm = world.add_vm(owner)
    headers = owner.bearer | {"Idempotency-Key": f"once-{vm}", "Prefer": "respond-async"}
    first, second = (world.post(f"/vms/{vm}/network/port-forward", headers, json={"guest_port": 80}) for _ in range(2))
    assert (first.status_code, first.json["id"]) == (202, second.json["id"])


def test_wrong_queries(world: World, owner: Caller) -> None:
    vm = world.add_vm(owner)
    for path in ("/networks?limit=0", "/networks?host=%00", "/networks?host=" + "x" * 64, "/networks?offset=-1"):
        assert problem(world.get(path, owner.bearer)) == (422, "validation_error"), path
        assert problem(world.get(path, owner.key)) == (400, "invalid_request"), path
    assert world.get("/networks?host=nowhere", owner.bearer).json["networks"] == []
    for query in ("?protocol=sctp", "?protocol="):
        assert world.delete(f"/vms/{vm}/network/port-forwards/8080{query}", owner.bearer).status_code == 422


def test_an_address_that_no_bridge_has_is_a_validation_error_of_its_field(
    world: World, owner: Caller, passing_host: Any
) -> None:
    bridge = HostNetwork("br7", "bridge", "10.7.0.0/24", "10.7.0.1", True, ("10.7.0.10", "10.7.0.20"))
    passing_host("host-br7", facts=HostFacts(networks=[bridge]))
    wanted = {"name": "wrong", "network_config": {"bridge": "br7", "ip": "10.8.0.1"}}
    answer = world.post("/vms", owner.bearer, json=wanted)
    assert problem(answer) == (422, "validation_error")
    assert answer.json["details"][0]["field"] == "network_config.ip"
    vbox = {"name": "wrong", "memory_mb": 512, "cpus": 1, "network_config": {"bridge": "nowhere"}}
    answer = world.post("/vms", owner.key, json=vbox)
    assert problem(answer) == (400, "invalid_request")
    assert "network_config.bridge" in answer.json["error"]["details"]
    good = {"name": "right", "network_config": {"bridge": "br7", "ip": "10.7.0.5"}}
    answer = world.post("/vms", owner.bearer | {"Prefer": "respond-async"}, json=good)
    assert answer.status_code == 202
    assert world.get("/vms/right", owner.bearer).json["network_config"]["type"] == "bridge"
    place = world.get("/vms/right/network", owner.bearer).json
    assert (place["ip_address"], place["bridge_name"]) == ("10.7.0.5", "br7")
    assert place["network_interface"] is None  # it is off
