"""A VM's whole life on the real Cloud Hypervisor, under the KVM of a host of the lab's, beside QEMU's and VirtualBox's.

Only where its program is on this machine: corral hypervisor install cloud-hypervisor.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import pytest
import requests

from core.contract.errors import CorralError
from tests.lab.conftest import MEMORY_MB, LabVm, waiting_for
from tools.lab import recipe

if TYPE_CHECKING:
    from tools.lab.lab import Lab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]
BOOT_SECONDS, STOP_SECONDS = 400.0, 120
HYPERVISOR = "cloud-hypervisor"
CONTROLLER = "SATA Controller"


@pytest.fixture(scope="module")
def guest(lab: Lab) -> LabVm:
    """One that has booted."""
    if HYPERVISOR not in recipe.offered(recipe.KVM):
        pytest.skip("Cloud Hypervisor is not on this machine: corral hypervisor install cloud-hypervisor")
    made = LabVm(lab, recipe.KVM.name, "chv", HYPERVISOR)
    made.create()
    with made.step("create to the guest's answer"):
        made.change("POST", "/start")
    return made


def test_its_console_has_a_real_boot_and_takes_what_is_typed(guest: LabVm) -> None:
    with guest.console() as console:
        console.read_until(lambda seen: b"lab-guest: up after" in seen, BOOT_SECONDS)
        console.type("hello\n")
        console.read_until(lambda seen: b"lab-guest: heard hello" in seen, 60)


def test_commands_and_files_go_by_its_vsock(guest: LabVm) -> None:
    done = guest.run("echo out; echo err >&2; exit 3")
    assert (done["stdout"], done["stderr"], done["exit_code"]) == ("out\n", "err\n", 3)
    with pytest.raises(CorralError, match="504"):
        guest.run("setsid sleep 4041 & sleep 4042", seconds=10)
    place, caller = f"{guest.client.url}/api/v1/vms/{guest.name}/files", guest.client.authorization
    data, path = secrets.token_bytes(200_000), "/root/deep/er/file"
    form: dict[str, Any] = {"data": {"path": path}, "files": {"file": ("f", data)}}
    with guest.step("upload of 200 kB"):
        answer = requests.post(f"{place}/upload", headers=caller, timeout=100, **form)
    assert answer.status_code == 200, answer.text
    with guest.step("download of 200 kB"):
        back = requests.get(f"{place}/download", headers=caller, timeout=100, params={"path": path})
    assert back.content == data


def test_it_is_measured(guest: LabVm) -> None:
    with guest.step("metrics"):
        found = guest.client.request("GET", f"/vms/{guest.name}/metrics")
    assert found["guest"], found["unknown"]
    assert 50 < found["guest"]["memory"]["total_mb"] <= MEMORY_MB


def test_it_stands_still_and_goes_on(guest: LabVm) -> None:
    with guest.console() as console:
        console.count()
        guest.change("POST", "/pause")
        assert console.stands(4), "a paused guest went on counting"
        guest.change("POST", "/resume")
        console.count()


def test_a_snapshot_with_memory_goes_on_where_it_was(guest: LabVm) -> None:
    guest.execute("echo before > /tmp/word")
    guest.change("POST", "/snapshots", {"name": "good", "include_memory": True})
    guest.execute("echo after > /tmp/word")
    with guest.step("restore to the guest's answer"):
        guest.change("POST", "/snapshots/good/restore")
        assert guest.execute("cat /tmp/word") == "before"
    with guest.step("the clock after the restore"):
        host, inside = int(guest.on_host("date +%s").strip()), int(guest.execute("date +%s"))
    assert abs(host - inside) < 120
    guest.change("DELETE", "/snapshots/good")


def test_vcpus_and_memory_are_plugged_in(guest: LabVm) -> None:
    guest.change("PUT", "/resources", {"vcpus": 2, "memory_mb": MEMORY_MB + 128})
    assert guest.execute("nproc") == "2"
    kilobytes = int(guest.execute("awk '/^MemTotal/ { print $2 }' /proc/meminfo"))
    assert kilobytes > MEMORY_MB * 1024


def test_a_disk_comes_and_goes(guest: LabVm) -> None:
    body = {"controller": CONTROLLER, "port": 1, "medium": "more.raw", "size_gb": 1, "create_if_missing": True}
    guest.change("POST", "/disks", body)
    assert guest.execute(f"{waiting_for('[ -e /sys/block/vdb ]')}; cat /sys/block/vdb/size") == str((1 << 30) // 512)
    guest.change("DELETE", f"/disks/{CONTROLLER}/1/0")
    assert "vdb" not in guest.execute(f"{waiting_for('[ ! -e /sys/block/vdb ]')}; ls /sys/block")


def test_an_adapter_comes_and_goes(guest: LabVm) -> None:
    guest.change("PUT", "/network-adapters/1", {"enabled": True, "type": "virtio", "mode": "null"})
    assert guest.execute(f"{waiting_for('[ -e /sys/class/net/eth1 ]')}; ls /sys/class/net").split()[:2] == [
        "eth0",
        "eth1",
    ]
    guest.change("PUT", "/network-adapters/1", {"enabled": False})
    assert "eth1" not in guest.execute(f"{waiting_for('[ ! -e /sys/class/net/eth1 ]')}; ls /sys/class/net")


def test_a_port_forward_begins_and_ends_while_it_runs(guest: LabVm) -> None:
    made = guest.client.request("POST", f"/vms/{guest.name}/network/port-forward", {"guest_port": 80})
    ask = f"timeout 30 busybox wget -q -T 10 -O - http://127.0.0.1:{made['host_port']}/name"
    assert guest.on_host(ask).strip() == "lab-guest"
    guest.client.request("DELETE", f"/vms/{guest.name}/network/port-forwards/{made['host_port']}")
    assert "lab-guest" not in guest.on_host(ask)


def test_it_outlives_an_agent_that_is_killed(guest: LabVm) -> None:
    guest.execute("echo still > /tmp/word")
    with guest.step("an agent that is killed, and the next"):
        guest.on_host("kill -9 $(cat /sys/fs/cgroup/corral/agent/cgroup.procs | head -n 1)")
        guest.becomes("running", 200)
        assert guest.execute("cat /tmp/word") == "still"


def test_a_crash_is_noticed(guest: LabVm) -> None:
    vm_id = guest.client.request("GET", f"/vms/{guest.name}")["id"]
    with guest.step("a crash until it is told"):
        guest.on_host(f"kill -9 $(cat /var/lib/corral/hosts/{guest.host}/vms/{vm_id}/cloud-hypervisor.pid)")
        guest.becomes("crashed", 60)
    guest.change("POST", "/start")


def test_it_stops_by_itself_and_is_deleted(guest: LabVm) -> None:
    guest.change("POST", "/stop", {"timeout_seconds": STOP_SECONDS})
    assert guest.status() == "stopped"
    guest.change("DELETE", "")
    with pytest.raises(CorralError, match="404"):
        guest.status()
