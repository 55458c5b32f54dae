"""The same failures with real guests: QEMU outlives the agent, and no death leaves two of one VM."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from cli.fleet import vms
from tests.support.waiting import until

HYPERVISOR = "qemu"
LOSE = """
UPDATE hosts h SET reserved_vcpus = h.reserved_vcpus - v.vcpus, reserved_memory_mb = h.reserved_memory_mb - v.memory_mb,
    reserved_disk_gb = h.reserved_disk_gb - v.disk_gb FROM vms v WHERE v.id = :vm AND h.name = v.host_name;
DELETE FROM operations WHERE vm_id = :vm;
DELETE FROM mac_addresses WHERE vm_id = :vm;
DELETE FROM vms WHERE id = :vm"""


@pytest.fixture
def vm(rig: Any) -> Any:
    """A stopped VM called "guest", deleted in the end."""
    rig.create("guest")
    yield "guest"
    assert rig.ended(rig.accept("DELETE", "/vms/guest"), 60) == "succeeded"
    assert vms.running(rig.fleet.home) == []


def test_a_guest_survives_its_agent_and_is_used_again(rig: Any, vm: str) -> None:
    operation = rig.accept("POST", f"/vms/{vm}/start")
    rig.running(operation)
    until(lambda: vms.running(rig.fleet.home), why="a QEMU process")
    host = _host(rig)
    rig.fleet.kill(host)  # while the guest boots
    assert rig.ended(operation, 90) == "succeeded"
    (before,) = vms.running(rig.fleet.home)
    rig.fleet.kill(host)  # while it runs
    until(lambda: _says(rig, vm, "echo here") == "here\n", why="the guest is used through a new agent")
    (after,) = vms.running(rig.fleet.home)
    assert after.process.pid == before.process.pid


def test_what_dies_behind_our_back_is_noticed(rig: Any, vm: str) -> None:
    assert rig.ended(rig.accept("POST", f"/vms/{vm}/start"), 90) == "succeeded"
    (running,) = vms.running(rig.fleet.home)
    os.kill(running.process.pid, signal.SIGKILL)
    until(lambda: _state(rig, vm) == "aborted", why="the crash was noticed")
    assert rig.ended(rig.accept("POST", f"/vms/{vm}/start"), 90) == "succeeded"


def test_all_else_dies_while_a_guest_boots(rig: Any, vm: str) -> None:
    operation = rig.accept("POST", f"/vms/{vm}/start")
    rig.running(operation)
    with rig.engine.begin() as held:
        held.execute(text("SELECT 1 FROM vms WHERE name = 'guest' FOR UPDATE"))
        rig.fleet.kill("worker")
        rig.fleet.kill("api")
    rig.fleet.kill("redis", hold=True)
    rig.fleet.kill("postgres", hold=True)
    rig.fleet.restart("postgres")
    rig.fleet.restart("redis")
    assert rig.ended(operation, 90) == "succeeded"
    assert len(vms.running(rig.fleet.home)) == 1
    until(lambda: _says(rig, vm, "echo here") == "here\n", why="the guest is used")


def test_delete_wins_over_a_boot(rig: Any) -> None:
    rig.create("short")
    start = rig.accept("POST", "/vms/short/start")
    until(lambda: vms.running(rig.fleet.home), why="a QEMU process")
    delete = rig.accept("DELETE", "/vms/short")
    assert rig.ended(delete, 60) == "succeeded"
    assert rig.state(start) == "cancelled"
    assert vms.running(rig.fleet.home) == []


def test_a_vm_that_the_record_has_lost_is_adopted_and_used(rig: Any) -> None:
    rig.create("lost")
    vm_id, host = rig.row("SELECT id, host_name FROM vms WHERE name = 'lost' AND deleted_at IS NULL")
    kept = _counted(rig, host)
    _lose(rig, vm_id)
    orphans = f"/hosts/{host}/orphans"
    until(lambda: rig.request("GET", orphans).json()["data"] == [{"id": vm_id, "host": host}], why="it is an orphan")

    owner = rig.fleet.credentials.username
    adopted = rig.request("POST", f"{orphans}/{vm_id}/adopt", {"owner": owner, "name": "found"})
    assert adopted.status_code == 201, adopted.text
    shown = {name: adopted.json()["data"][name] for name in ("id", "hypervisor", "image", "memory_mb", "disk_gb")}
    assert shown == {"id": vm_id, "hypervisor": "qemu", "image": "linux-default", "memory_mb": 512, "disk_gb": 10}
    assert _counted(rig, host) == kept
    assert rig.ended(rig.accept("POST", "/vms/found/start"), 90) == "succeeded"
    assert _says(rig, "found", "echo here") == "here\n"
    assert rig.ended(rig.accept("DELETE", "/vms/found"), 60) == "succeeded"
    assert not (rig.fleet.home / "hosts" / host / "vms" / vm_id).exists()


def test_a_guest_runs_on_while_its_control_plane_is_lost_and_restored(
    rig: Any, vm: str, corral: Any, tmp_path: Path
) -> None:
    assert rig.ended(rig.accept("POST", f"/vms/{vm}/start"), 90) == "succeeded"
    (before,) = vms.running(rig.fleet.home)
    assert _says(rig, vm, "echo once > /root/kept") == ""
    corral("backup", tmp_path / "backup")
    with rig.stopped():
        rig.lose_record()
        rig.lose_redis()
        corral("restore", tmp_path / "backup")
    until(lambda: _says(rig, vm, "cat /root/kept") == "once\n", why="the guest is used")
    (after,) = vms.running(rig.fleet.home)
    assert after.process.pid == before.process.pid


def test_a_fenced_hosts_guest_runs_elsewhere_and_not_twice(rig: Any) -> None:
    wanted = {"name": "moved", "memory_mb": 512, "cpus": 1, "storage_gb": 10, "host": "host-b"}
    made = rig.accept("POST", "/vms", wanted | {"restart_policy": "elsewhere"})
    assert rig.ended(made, 60) == "succeeded"
    assert rig.ended(rig.accept("POST", "/vms/moved/start"), 90) == "succeeded"
    (before,) = vms.running(rig.fleet.home)
    rig.fleet.kill("host-b", hold=True)  # its guest runs on
    until(lambda: _shown(rig, "host-b")["status"] == "offline", why="the host is offline")
    assert rig.request("POST", "/hosts/host-b/fence").status_code == 200
    until(lambda: _says(rig, "moved", "echo here") == "here\n", why="the guest runs elsewhere")
    assert [each.host for each in vms.running(rig.fleet.home)] == ["host-a", "host-b"]  # as nobody has powered it off

    rig.fleet.restart("host-b")
    until(lambda: [each.host for each in vms.running(rig.fleet.home)] == ["host-a"], why="its host has powered it off")
    assert _says(rig, "moved", "echo here") == "here\n"
    assert rig.request("POST", "/hosts/host-b/activate").status_code == 200
    until(lambda: _shown(rig, "host-b")["status"] == "online", why="the host is back")
    until(lambda: not before.folder.exists(), why="what was left of it is removed")
    assert [each.host for each in vms.running(rig.fleet.home)] == ["host-a"]
    assert rig.ended(rig.accept("DELETE", "/vms/moved"), 60) == "succeeded"


def test_a_guest_moves_with_what_it_has_written(rig: Any, vm: str) -> None:
    assert rig.ended(rig.accept("POST", f"/vms/{vm}/start"), 90) == "succeeded"
    source = _host(rig)
    assert _says(rig, vm, "echo before > /root/kept; sync") == ""
    assert (
        rig.ended(rig.accept("POST", f"/vms/{vm}/snapshots", {"name": "one", "include_ram": True}), 90) == "succeeded"
    )
    assert _says(rig, vm, "echo after > /root/kept; sync") == ""
    move = rig.request("POST", f"/vms/{vm}/move", {"stop": True}).json()["data"]["id"]
    until(lambda: rig.row("SELECT host_name FROM operations WHERE id = :id", id=move)[0] != source, why="it is copied")
    rig.fleet.kill(source)
    assert rig.ended(move, 90) == "succeeded", rig.row("SELECT error FROM operations WHERE id = :id", id=move)
    until(lambda: _says(rig, vm, "cat /root/kept") == "after\n", why="the guest runs there")
    (running,) = vms.running(rig.fleet.home)
    assert running.host == _host(rig) != source
    assert rig.ended(rig.accept("POST", f"/vms/{vm}/snapshots/one/restore"), 90) == "succeeded"
    until(lambda: _says(rig, vm, "cat /root/kept") == "before\n", why="its snapshot came too")
    left = rig.fleet.home / "hosts" / source / "vms" / running.folder.name
    until(lambda: not left.exists(), why="its source has removed it")


def _shown(rig: Any, host: str) -> Any:
    return rig.request("GET", f"/hosts/{host}").json()["data"]


def _counted(rig: Any, host: str) -> Any:
    return rig.row(
        "SELECT reserved_vcpus, reserved_memory_mb, reserved_disk_gb FROM hosts WHERE name = :name", name=host
    )


def _lose(rig: Any, vm_id: str) -> None:
    """As a database has lost it that was restored from a backup older than the VM."""
    with rig.engine.begin() as connection:
        for statement in LOSE.split(";"):
            connection.execute(text(statement), {"vm": vm_id})


def _host(rig: Any) -> str:
    return str(rig.row("SELECT host_name FROM vms WHERE name = 'guest' AND deleted_at IS NULL")[0])


def _state(rig: Any, name: str) -> str:
    return str(rig.request("GET", f"/vms/{name}").json()["data"]["state"])


def _says(rig: Any, name: str, command: str) -> str | None:
    try:
        answer = rig.request("POST", f"/vms/{name}/execute", {"command": command})
    except OSError:  # the API is on its way back
        return None
    return str(answer.json()["data"]["stdout"]) if answer.status_code == 200 else None
