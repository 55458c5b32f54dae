"""What the driver does that no other has to: seen on the double."""

from __future__ import annotations

import json
import os
import signal
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from agent.drivers.base import DriverFolders
from agent.drivers.capabilities.hardware import DiskRequest
from agent.drivers.cloud_hypervisor import CloudHypervisorDriver, events, program, sizes
from agent.drivers.cloud_hypervisor.api import CloudHypervisorApi, CloudHypervisorError, Silent
from agent.drivers.local import daemon
from agent.drivers.local.folder import LocalVmFolder
from agent.system import sockets
from core.contract.errors import DriverFailure
from core.contract.messages import Forward, VmSpec
from core.contract.states import Applied, Observed
from core.contract.vms import Adapter
from tests.cloud_hypervisor.conftest import LONG, silent
from tests.contract.test_port_forwards import free_port
from tests.support.waiting import until

MEDIUM = DiskRequest("SATA Controller", 1, 0, "hdd", "more.raw", create_if_missing=True, size_gb=1)


def folder_of(place: DriverFolders, vm: VmSpec) -> Path:
    """A VM's."""
    return place.vms / vm.id


def reason_of(driver: CloudHypervisorDriver, vm: VmSpec, state: Observed) -> str | None:
    """The reason that is given once it is so."""
    until(lambda: driver.observe(vm.id).state is state)
    return driver.observe(vm.id).reason


def test_all_that_is_sent_is_known_to_it(driver: CloudHypervisorDriver, place: DriverFolders, vm: VmSpec) -> None:
    driver.disk_attach(vm, MEDIUM, LONG)
    driver.start(replace(vm, forwards=[Forward("tcp", free_port(), 80)]), silent, LONG)
    driver.disk_detach(vm, MEDIUM.controller, 1, 0, LONG)
    driver.adapter_set(vm, Adapter(1, mode="null", type="virtio"), LONG)
    driver.pause(vm, LONG)
    driver.snapshot_create(vm, "one", True, silent, LONG)
    driver.resume(vm, LONG)
    driver.resize(replace(vm, vcpus=2, memory_mb=384), silent, LONG)
    driver.snapshot_restore(vm, "one", None, silent, LONG)
    driver.measure(vm, LONG)
    assert not (folder_of(place, vm) / "run" / "ignored.log").exists()


def test_a_misspelt_field_would_be_noticed(driver: CloudHypervisorDriver, place: DriverFolders, vm: VmSpec) -> None:
    driver.start(vm, silent, LONG)
    CloudHypervisorApi(folder_of(place, vm), LONG).put("vm.resize", {"desired_cpus": 2})
    assert (folder_of(place, vm) / "run" / "ignored.log").read_text() == "VmResize.desired_cpus\n"


@pytest.mark.parametrize("said", ["cloud-hypervisor v51.1.0", "cloud-hypervisor v40.0"])
def test_a_version_that_is_too_old_is_refused_by_name(said: str) -> None:
    with pytest.raises(program.TooOld, match=said.split()[1][1:3]) as failure:
        program.read_version(said)
    assert program.INSTALL in failure.value.message


def test_the_way_of_a_restore_is_what_the_version_is_good_at() -> None:
    assert program.read_version("cloud-hypervisor v52.0.0").restore_mode == "OnDemand"
    assert program.read_version("cloud-hypervisor v53.0.0").restore_mode == "Copy"


def test_without_the_program_it_is_unhealthy_and_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, place: DriverFolders
) -> None:
    monkeypatch.setenv("CLOUD_HYPERVISOR", "no-such-program")
    health = CloudHypervisorDriver(place).probe()
    assert not health.healthy
    assert program.INSTALL in health.problem


def test_a_crash_is_told_from_a_guest_that_powered_itself_off(
    driver: CloudHypervisorDriver, place: DriverFolders, vm: VmSpec
) -> None:
    pid = driver.start(vm, silent, LONG).pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert reason_of(driver, vm, Observed.CRASHED) == "Cloud Hypervisor exited without an error message"
    driver.start(vm, silent, LONG)
    CloudHypervisorApi(folder_of(place, vm), LONG).put("vm.power-button")
    assert reason_of(driver, vm, Observed.STOPPED) == "the guest shut itself down"


def test_a_guest_that_panicked_has_crashed(tmp_path: Path) -> None:
    (tmp_path / events.FILE).parent.mkdir()
    told = [{"source": "guest", "event": "panic"}, {"source": "vmm", "event": "shutdown"}]
    (tmp_path / events.FILE).write_text("\n\n".join(json.dumps(each, indent=2) for each in told) + "\n\n{\n")
    assert events.RECORD.run_events(tmp_path) == events.CloudHypervisorRunEvents(ended=events.SHUTDOWN, panicked=True)


def test_a_guest_that_restarted_is_told_with_the_time(tmp_path: Path) -> None:
    (tmp_path / events.FILE).parent.mkdir()
    (tmp_path / daemon.PID_FILES["cloud-hypervisor"]).touch()
    began = (tmp_path / daemon.PID_FILES["cloud-hypervisor"]).stat().st_mtime
    told = [{"source": "guest", "event": "panic"}, {"source": "vm", "event": "rebooted", "timestamp": {"secs": 70}}]
    (tmp_path / events.FILE).write_text("\n\n".join(json.dumps(each) for each in told) + "\n\n")
    assert events.RECORD.run_events(tmp_path) == events.CloudHypervisorRunEvents(restarted_at=began + 70)
    assert events.RECORD.run_events(tmp_path, events.RECORD.length(tmp_path)) == events.CloudHypervisorRunEvents()


def test_a_limit_that_is_lifted_gives_the_guest_its_memory_back(
    driver: CloudHypervisorDriver, place: DriverFolders, vm: VmSpec
) -> None:
    folder = LocalVmFolder(folder_of(place, vm))
    driver.start(vm, silent, LONG)
    machine = folder.state().machine
    assert machine is not None
    sizes.fit_balloon(folder, machine, 75)
    assert balloon(folder) == 64 << 20
    sizes.fit_balloon(folder, machine, None)
    assert balloon(folder) == 0


def balloon(folder: LocalVmFolder) -> int:
    """Its size in bytes."""
    return int(CloudHypervisorApi(folder.path, LONG).get("vm.info")["config"]["balloon"]["size"])


def test_what_it_makes_is_for_nobody_else(driver: CloudHypervisorDriver, place: DriverFolders, vm: VmSpec) -> None:
    driver.start(vm, silent, LONG)
    driver.pause(vm, LONG)
    driver.snapshot_create(vm, "one", True, silent, LONG)
    home = folder_of(place, vm)
    made = [*(home / "run").iterdir(), *(home / "layers").iterdir(), *(home / "snapshots").rglob("memory/*")]
    assert {"api.sock", "serial.sock", "vsock.sock", "events.json"} <= {path.name for path in made}
    assert {path.name for path in made if stat.S_IMODE(path.stat().st_mode) & 0o077} == set()
    if os.geteuid() == 0:
        (user,) = {path.stat().st_uid for path in made}
        assert user != 0
        status = Path(f"/proc/{driver.observe(vm.id).pid}/status").read_text()
        assert f"Uid:\t{user}\t{user}\t{user}\t{user}\n" in status
        assert "NoNewPrivs:\t1\n" in status
        assert "CapEff:\t0000000000000000\n" in status


def test_its_console_is_kept_and_typed_on(driver: CloudHypervisorDriver, vm: VmSpec) -> None:
    driver.start(vm, silent, LONG)
    console = driver.console(vm.id)
    until(lambda: b"double: up" in console.log.read_bytes(), despite=FileNotFoundError)
    assert console.socket is not None
    with sockets.connect(console.socket, LONG) as typist:
        typist.sendall(b"hello")
        assert typist.recv(100) == b"hello"


def test_memory_is_plugged_in_blocks_and_the_rest_waits(driver: CloudHypervisorDriver, vm: VmSpec) -> None:
    driver.start(vm, silent, LONG)
    resized = driver.resize(replace(vm, memory_mb=256 + 64), silent, LONG)
    assert resized.memory_mb is Applied.AT_NEXT_START
    assert driver.observe(vm.id).facts.memory_mb == 256
    driver.resize(replace(vm, memory_mb=256 + 128), silent, LONG)
    assert driver.observe(vm.id).facts.memory_mb == 384


def test_a_damaged_snapshot_leaves_the_running_vm_alone(
    driver: CloudHypervisorDriver, place: DriverFolders, vm: VmSpec
) -> None:
    before = driver.start(vm, silent, LONG)
    driver.snapshot_create(vm, "one", True, silent, LONG)
    before = driver.observe(vm.id)
    memory = folder_of(place, vm) / "snapshots" / "one" / "memory" / "memory-ranges"
    with memory.open("r+b") as file:
        file.seek(100)
        file.write(b"damaged")
    with pytest.raises(DriverFailure, match="memory-ranges was changed") as failure:
        driver.snapshot_restore(vm, "one", None, silent, LONG)
    assert failure.value.code == "snapshot_damaged"
    assert driver.observe(vm.id) == before


def test_the_disk_came_from_the_image_in_a_way_that_is_told(driver: CloudHypervisorDriver, vm: VmSpec) -> None:
    assert driver.observe(vm.id).facts.disk in ("reflink", "layer", "copy")
    (own,) = driver.disks(vm)
    assert own.size_bytes == 4 << 30


def test_an_agent_that_comes_later_finds_it_running(
    driver: CloudHypervisorDriver, place: DriverFolders, vm: VmSpec
) -> None:
    seen = driver.start(vm, silent, LONG)
    assert CloudHypervisorDriver(place).observe(vm.id) == seen
    assert CloudHypervisorDriver(place).start(vm, silent, LONG).pid == seen.pid


def test_refusals_are_told_with_their_reason(driver: CloudHypervisorDriver, place: DriverFolders, vm: VmSpec) -> None:
    driver.start(vm, silent, LONG)
    with pytest.raises(CloudHypervisorError, match="Requested vCPUs exceed maximum") as failure:
        CloudHypervisorApi(folder_of(place, vm), LONG).put("vm.resize", {"desired_vcpus": 200})
    assert failure.value.status == 500
    driver.stop(vm, 0.0, silent, LONG)
    with pytest.raises(Silent):
        CloudHypervisorApi(folder_of(place, vm), LONG).get("vm.info")
