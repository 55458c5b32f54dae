"""Lists and single things, in both shapes."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import update

from core.models import Host
from core.models.base import now
from tests.api.world import Caller, World, problem


@pytest.fixture(scope="module")
def owner(world: World) -> Caller:
    """Has five VMs, of which the second runs."""
    made = world.caller()
    for number in range(5):
        state = "running" if number == 1 else "stopped"
        world.add_vm(
            made,
            name=f"vm-{number}",
            memory_mb=512 + number,
            os_type="windows" if number == 4 else "linux",
            observed=state,
            wanted=state,
            started_at=now() - timedelta(seconds=90) if number < 2 else None,
        )
    return made


@pytest.mark.parametrize(
    ("query", "names", "total"),
    [
        ("", [0, 1, 2, 3, 4], 5),
        ("limit=2", [0, 1], 5),
        ("limit=2&offset=3", [3, 4], 5),
        ("offset=9", [], 5),
        ("status=running", [1], 1),
        ("status=stopped", [0], 1),
        ("status=created&os_type=linux", [2, 3], 2),
        ("os_type=windows", [4], 1),
        ("sort=created_at&order=desc", [4, 3, 2, 1, 0], 5),
        ("sort=memory_mb&order=desc&limit=1", [4], 5),
        ("sort=name", [0, 1, 2, 3, 4], 5),
        ("sort=status&limit=3", [2, 3, 4], 5),
    ],
)
def test_vms_are_paged_filtered_and_sorted(
    world: World, owner: Caller, query: str, names: list[int], total: int
) -> None:
    body = world.get(f"/vms?{query}", owner.bearer).json
    assert sorted(vm["name"] for vm in body["vms"]) == sorted(f"vm-{n}" for n in names)
    if not query.startswith("sort=status"):
        assert [vm["name"] for vm in body["vms"]] == [f"vm-{n}" for n in names]
    assert body["total"] == total


def test_a_vm_in_microvms_words(world: World, owner: Caller) -> None:
    body = world.get("/vms/vm-1", owner.bearer).json
    assert body["status"] == "running"
    assert 90 <= body["uptime_seconds"] <= 100
    assert body["network_config"] == {
        "ip": "10.0.2.15",
        "bridge": "user",
        "type": "user",
        "mac_address": "52:54:00:00:00:01",
    }
    assert set(body["resource_usage"]) == {"cpu_usage_percent", "memory_used_mb", "disk_usage_gb"}
    assert len(body["created_at"]) == len("2025-10-01T12:00:00Z")
    assert world.get(f"/vms/{body['id']}", owner.bearer).json["name"] == "vm-1"


def test_a_vm_in_virtualboxs_words(world: World, owner: Caller) -> None:
    listed = world.get("/vms", owner.key).json
    assert [vm["state"] for vm in listed["data"]] == ["poweroff", "running", "poweroff", "poweroff", "poweroff"]
    assert {"id", "name", "state", "os_type", "memory_mb", "cpus", "uptime_seconds"} <= set(listed["data"][0])
    data = world.get("/vms/vm-1", owner.key).json["data"]
    assert data["storage_controllers"][0]["attachments"][0]["size_gb"] == 10
    assert data["network_adapters"] == [
        {
            "slot": 0,
            "enabled": True,
            "type": "virtio",
            "mac_address": "525400000001",
            "cable_connected": True,
            "speed_mbps": 1000,
            "mode": "nat",
            "bridge_adapter": None,
        }
    ]


def test_the_hardware_that_was_asked_for_is_shown(world: World, owner: Caller) -> None:
    body = {
        "name": "asked",
        "os_type": "Ubuntu_64",
        "memory_mb": 4096,
        "cpus": 2,
        "storage_gb": 50,
        "network": {"adapter1": {"enabled": True, "type": "nat", "adapter_type": "82540EM"}},
        "storage_controllers": [{"name": "SATA Controller", "type": "sata", "port_count": 4}],
    }
    caller = world.caller()
    assert world.post("/vms", caller.key | {"Prefer": "respond-async"}, json=body).status_code == 202
    data = world.get("/vms/asked", caller.key).json["data"]
    assert (data["state"], data["os_type"], data["cpus"], data["memory_mb"]) == ("creating", "Ubuntu_64", 2, 4096)
    assert data["storage_controllers"][0]["attachments"][0]["size_gb"] == 50
    assert data["network_adapters"][0]["mode"] == "nat"


def test_the_document_for_a_create_in_microvm_is_taken_word_for_word(world: World) -> None:
    caller = world.caller()
    body = {
        "name": "sandbox",
        "os_type": "linux",
        "vcpus": 2,
        "memory_mb": 512,
        "template": "linux-default",
        "network_config": {"bridge": "chbr0", "ip": "192.168.200.100"},
        "storage_config": {"disk_size_gb": 10, "disk_type": "ssd"},
    }
    assert world.post("/vms", caller.bearer | {"Prefer": "respond-async"}, json=body).status_code == 202
    shown = world.get("/vms/sandbox", caller.bearer).json
    # No host has that bridge, so it is told where the VM is instead.
    assert shown["network_config"] == {
        "type": "user",
        "bridge": "user",
        "ip": "10.0.2.15",
        "mac_address": shown["network_config"]["mac_address"],
    }


def test_an_offline_hosts_vms_are_unknown_with_when_it_was_last_seen(world: World, owner: Caller) -> None:
    offline = world.add_host("offline", offline_since=now())
    world.add_vm(owner, name="lost", host_name=offline, observed="running", wanted="running")
    shown = world.get("/vms/lost", owner.bearer).json
    assert shown["status"] == "unknown"
    assert shown["last_seen_at"]
    assert world.get("/vms/lost", owner.key).json["data"]["state"] == "unknown"
    assert problem(world.post("/vms/lost/stop", owner.bearer)) == (503, "service_unavailable")


def test_hosts_tell_what_they_have_and_their_orphans_to_administrators(world: World, owner: Caller) -> None:
    name = world.add_host("host", offered_vcpus=8, reserved_vcpus=3, orphans=["vm-orphan"])
    shown = world.get(f"/hosts/{name}", owner.bearer).json
    assert (shown["capacity"]["vcpus"], shown["reserved"]["vcpus"], shown["free"]["vcpus"]) == (8, 3, 5)
    assert shown["hypervisors"][0]["healthy"] is True
    assert (shown["status"], shown["orphans"]) == ("online", [])
    as_admin = world.get(f"/hosts/{name}", world.caller("admin").key).json["data"]
    assert as_admin["orphans"] == ["vm-orphan"]
    with world.context.transaction() as session:
        session.execute(update(Host).where(Host.name == name).values(offline_since=now()))
    assert world.get(f"/hosts/{name}", owner.bearer).json["status"] == "offline"
    names = [host["name"] for host in world.get("/hosts?limit=100", owner.bearer).json["hosts"]]
    assert {"host-a", name} <= set(names)
    assert problem(world.get("/hosts/none", owner.key)) == (404, "not_found")


def test_keys_are_shown_once_listed_and_revoked_by_their_owner(world: World) -> None:
    owner, other = world.caller(), world.caller()
    expires = "2099-01-01T00:00:00Z"
    made = world.post("/keys", owner.bearer, json={"name": "ci", "access": "read", "expires_at": expires})
    assert made.status_code == 201
    assert made.json["expires_at"] == expires
    listed = world.get("/keys", owner.bearer).json
    assert [key["name"] for key in listed["keys"]] == ["ci", "test"]
    assert made.json["key"] not in str(listed)
    assert listed["keys"][0] == {name: value for name, value in made.json.items() if name != "key"}
    assert world.get("/vms", {"X-API-Key": made.json["key"]}).status_code == 200
    assert problem(world.delete(f"/keys/{made.json['id']}", other.bearer)) == (404, "not_found")
    gone = world.delete(f"/keys/{made.json['id']}", owner.bearer)
    assert (gone.status_code, gone.data, gone.headers.get("Content-Type")) == (204, b"", None)
    assert world.get("/keys", owner.bearer).json["keys"][0]["revoked_at"]
