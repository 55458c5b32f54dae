"""Disks, network adapters and pauses over HTTP, in both dialects, by an agent with the fake driver."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.fleet.fleet import Fleet
from tests.api.world import Caller, World, problem
from tests.support.clients import Client, new_user

PLACE = "/disks/SATA%20Controller/1/0"
ATTACH = {
    "controller": "SATA Controller",
    "port": 1,
    "device": 0,
    "type": "hdd",
    "medium": "new-disk.vdi",
    "create_if_missing": True,
    "size_gb": 100,
}
DISK_FIELDS = {"controller", "port", "device", "type", "medium", "size_gb", "used_gb", "format"}
ADAPTER_FIELDS = {"slot", "enabled", "type", "mac_address", "cable_connected", "speed_mbps", "mode"}


@pytest.fixture
def client(fleet: Fleet) -> Iterator[Client]:
    """A user with a stopped VM of the document's kind, "web"."""
    made = new_user(fleet)
    body = {
        "name": "web",
        "host": fleet.plan.host_names[0],
        "memory_mb": 512,
        "cpus": 1,
        "storage_gb": 50,
        "os_type": "Ubuntu_64",
        "network": {"adapter1": {"enabled": True, "type": "nat", "adapter_type": "82540EM"}},
        "storage_controllers": [{"name": "SATA Controller", "type": "sata", "port_count": 4}],
    }
    assert made.call("POST", "/vms", made.key, body, Prefer="wait=20").status_code == 200
    yield made
    assert made.call("DELETE", "/vms/web", made.bearer).status_code == 204


def media(fleet: Fleet) -> Path:
    """The media folder of the host that these VMs are on."""
    return fleet.home / "hosts" / fleet.plan.host_names[0] / "media"


def test_a_disk_is_attached_listed_and_detached(client: Client, fleet: Fleet) -> None:
    attached = client.call("POST", "/vms/web/disks", client.key, ATTACH)
    assert attached.status_code == 200, attached.text
    said = {"controller": "SATA Controller", "port": 1, "device": 0, "message": "Disk attached successfully"}
    assert attached.json() == {"status": "success", "data": said | {"visible_to_guest": None}}  # as it does not run
    listed = client.call("GET", "/vms/web/disks", client.key).json()
    assert (listed["status"], listed["total"]) == ("success", 2)
    own, data = listed["data"]
    assert all(set(disk) >= DISK_FIELDS for disk in listed["data"])
    assert (own["own"], own["size_gb"], own["used_gb"]) == (True, 50, 0)  # a MiB
    assert (data["size_gb"], data["used_gb"], data["format"], data["type"]) == (100, 0, "vdi", "hdd")
    assert data["medium"] == "new-disk.vdi"
    assert client.call("GET", "/vms/web/disks", client.bearer).json()["disks"] == listed["data"]
    page = client.call("GET", "/vms/web/disks?limit=1&offset=1", client.bearer).json()
    assert (page["disks"], page["total"], page["limit"], page["offset"]) == ([data], 2, 1, 1)
    (controller,) = client.call("GET", "/vms/web", client.key).json()["data"]["storage_controllers"]
    shown = [(each["port"], each["medium"], each["size_gb"]) for each in controller["attachments"]]
    assert shown == [(0, own["medium"], 50), (1, data["medium"], 100)]
    assert all(each["used_gb"] is not None for each in controller["attachments"])
    for _ in range(2):
        gone = client.call("DELETE", f"/vms/web{PLACE}", client.bearer)
        assert (gone.status_code, gone.content) == (204, b"")
    (controller,) = client.call("GET", "/vms/web", client.key).json()["data"]["storage_controllers"]
    assert len(controller["attachments"]) == 1


def test_the_answer_says_whether_a_guest_that_runs_has_the_disk(client: Client) -> None:
    assert client.call("POST", "/vms/web/start", client.bearer).status_code == 200
    answer = client.call("POST", "/vms/web/disks", client.key, ATTACH).json()
    assert answer["data"]["visible_to_guest"] is True
    again = client.call("POST", "/vms/web/disks", client.bearer, ATTACH)
    assert (again.status_code, again.json()["visible_to_guest"]) == (200, True), again.text
    assert not_waited_for(client)["visible_to_guest"] is True


def test_so_does_the_operation_of_whoever_did_not_wait(client: Client) -> None:
    assert not_waited_for(client)["visible_to_guest"] is None  # as it does not run


def not_waited_for(client: Client) -> Any:
    """The result of an attachment that was answered before it was done."""
    accepted = client.call("POST", "/vms/web/disks", client.bearer, ATTACH, Prefer="respond-async")
    ended = client.call("GET", f"/operations/{accepted.json()['id']}/wait", client.bearer)
    assert (accepted.status_code, ended.status_code) == (202, 200), ended.text
    return ended.json()["result"]


WRONG: list[tuple[dict[str, Any], tuple[int, str]]] = [
    ({"medium": "/etc/passwd", "create_if_missing": False}, (400, "invalid_request")),
    ({"medium": "../x.vdi"}, (400, "invalid_request")),
    ({"medium": "out/x.vdi"}, (400, "invalid_request")),
    ({"medium": "theirs.vdi", "create_if_missing": False}, (400, "invalid_request")),
    ({"medium": "missing.vdi", "create_if_missing": False}, (400, "invalid_request")),
    ({"controller": "IDE"}, (400, "invalid_request")),
    ({"port": 29}, (400, "invalid_request")),
    ({"port": 0}, (409, "invalid_state")),
]


def test_what_can_not_be_attached_is_the_callers_mistake(client: Client, fleet: Fleet) -> None:
    (media(fleet) / "out").symlink_to("/tmp")  # noqa: S108  # nothing is made there
    other = new_user(fleet)
    made = {"name": "other", "memory_mb": 512, "host": fleet.plan.host_names[0]}
    assert other.call("POST", "/vms", other.bearer, made).status_code == 201
    attached = other.call("POST", "/vms/other/disks", other.key, ATTACH | {"medium": "theirs.vdi"})
    assert attached.status_code == 200, attached.text
    assert other.call("DELETE", "/vms/other", other.bearer).status_code == 204
    for change, code in WRONG:
        answer = client.call("POST", "/vms/web/disks", client.key, ATTACH | change)
        assert (answer.status_code, answer.json()["error"]["code"]) == code, answer.text
        refused = client.call("POST", "/vms/web/disks", client.bearer, ATTACH | change)
        assert refused.json()["error"] == {400: "bad_request", 409: "conflict"}[refused.status_code]
    assert client.call("GET", "/vms/web/disks", client.key).json()["total"] == 1


def test_adapters_are_listed_and_changed(client: Client) -> None:
    (first,) = client.call("GET", "/vms/web/network-adapters", client.key).json()["data"]
    mac = first["mac_address"]
    assert set(first) >= ADAPTER_FIELDS
    assert first == {
        "slot": 0,
        "enabled": True,
        "type": "82540EM",
        "mac_address": mac,
        "cable_connected": True,
        "speed_mbps": 1000,
        "mode": "nat",
        "bridge_adapter": None,
    }
    assert (len(mac), mac) == (12, mac.upper())
    wanted = {
        "enabled": True,
        "type": "82540EM",
        "cable_connected": True,
        "mode": "bridged",
        "bridge_adapter": "eth0",
    }
    changed = client.call("PUT", "/vms/web/network-adapters/0", client.key, wanted)
    assert changed.status_code == 200, changed.text
    assert changed.json() == {"status": "success", "data": {"slot": 0, "message": "Network adapter updated"}}
    partly = client.call("PUT", "/vms/web/network-adapters/0", client.bearer, {"cable_connected": False})
    assert partly.json() == {"slot": 0, "message": "Network adapter updated"}
    (now,) = client.call("GET", "/vms/web/network-adapters", client.bearer).json()["network_adapters"]
    assert now == first | {"mode": "bridged", "bridge_adapter": "eth0", "cable_connected": False}
    assert client.call("GET", "/vms/web", client.key).json()["data"]["network_adapters"] == [now]
    assert client.call("POST", "/vms/web/start", client.bearer).status_code == 200
    refused = client.call("PUT", "/vms/web/network-adapters/0", client.key, {"type": "virtio"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "invalid_state")
    off = client.call("PUT", "/vms/web/network-adapters/3", client.key, {"enabled": False})
    assert off.status_code == 200


def test_a_vm_is_paused_and_resumed(client: Client) -> None:
    early = client.call("POST", "/vms/web/pause", client.key)
    assert (early.status_code, early.json()["error"]["code"]) == (409, "vm_not_running")
    assert client.call("POST", "/vms/web/start", client.bearer).status_code == 200
    paused = client.call("POST", "/vms/web/pause", client.bearer)
    assert (paused.status_code, paused.json()["status"]) == (200, "paused")
    assert set(paused.json()) == {"message", "vm_name", "status", "paused_at"}
    again = client.call("POST", "/vms/web/pause", client.key)
    assert (again.status_code, again.json()["error"]["code"]) == (409, "invalid_state")
    assert client.call("GET", "/vms/web", client.key).json()["data"]["state"] == "paused"
    resumed = client.call("POST", "/vms/web/resume", client.key).json()["data"]
    assert (resumed["state"], resumed["message"]) == ("running", "VM resumed successfully")
    again = client.call("POST", "/vms/web/resume", client.bearer)
    assert (again.status_code, again.json()["error"]) == (409, "conflict")


def test_a_vm_is_saved_and_goes_on(client: Client) -> None:
    early = client.call("POST", "/vms/web/save", client.key)
    assert (early.status_code, early.json()["error"]["code"]) == (409, "vm_not_running")
    assert client.call("POST", "/vms/web/start", client.bearer).status_code == 200
    saved = client.call("POST", "/vms/web/save", client.bearer)
    assert (saved.status_code, saved.json()["status"]) == (200, "stopped")
    assert set(saved.json()) == {"message", "vm_name", "status", "saved_at"}
    assert "memory is saved" in client.call("GET", "/vms/web", client.bearer).json()["reason"]
    again = client.call("POST", "/vms/web/save", client.bearer)
    assert (again.status_code, again.json()["error"]) == (409, "conflict")
    assert client.call("POST", "/vms/web/start", client.bearer).status_code == 200
    assert client.call("GET", "/vms/web", client.bearer).json()["reason"] is None
    saved = client.call("POST", "/vms/web/save", client.key).json()["data"]
    assert (saved["state"], saved["message"]) == ("poweroff", "VM saved successfully")


REQUESTS = (
    ("GET", "/disks", None),
    ("POST", "/disks", ATTACH),
    ("DELETE", PLACE, None),
    ("GET", "/network-adapters", None),
    ("PUT", "/network-adapters/0", {"enabled": True}),
    ("POST", "/pause", None),
    ("POST", "/resume", None),
    ("POST", "/save", None),
)


@pytest.mark.parametrize("dialect", ["microvm", "vboxmcp"])
@pytest.mark.parametrize(("method", "path", "body"), REQUESTS)
def test_others_drivers_that_can_not_and_the_read_only_are_refused(
    world: World, dialect: str, method: str, path: str, body: Any
) -> None:
    owner, reader = world.caller(), world.caller(access="read")
    world.add_vm(owner, name="theirs")
    vm = world.add_vm(owner, hypervisor="nothing", observed="paused" if path == "/resume" else "running")
    mine = world.add_vm(reader)
    who = owner.headers(dialect)

    def ask(ref: str, headers: dict[str, str]) -> Any:
        return world.request(method, f"/vms/{ref}{path}", headers, json=body)

    for ref, headers in (("none", who), ("theirs", world.caller().headers(dialect))):
        assert problem(ask(ref, headers)) == (404, "not_found" if dialect == "microvm" else "vm_not_found")
    answer = ask(vm, who)
    assert problem(answer) == (400, "bad_request" if dialect == "microvm" else "invalid_request")
    assert "does not offer" in answer.text
    if method != "GET":
        assert problem(ask(mine, reader.key)) == (403, "forbidden")
    assert ask(vm, {}).status_code == 401


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/network-adapters/8"),
        ("PUT", "/network-adapters/-1"),
        ("PUT", "/network-adapters/x"),
        ("PUT", "/network-adapters/" + "9" * 400),
        ("DELETE", "/disks/SATA/30/0"),
        ("DELETE", "/disks/SATA/0/2"),
        ("DELETE", "/disks/SATA/x/0"),
        ("DELETE", "/disks/SATA/-1/0"),
    ],
)
def test_places_that_nothing_has_are_404(world: World, method: str, path: str) -> None:
    owner: Caller = world.caller()
    vm = world.add_vm(owner)
    for headers in (owner.bearer, owner.key):
        answer = world.request(method, f"/vms/{vm}{path}", headers, json={"enabled": True} if method == "PUT" else None)
        assert problem(answer) == (404, "not_found")
    odd = world.delete(f"/vms/{vm}/disks/%00/1/0", owner.key)
    assert problem(odd) == (404, "not_found")
