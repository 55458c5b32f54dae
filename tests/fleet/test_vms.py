"""What goes on running when a fleet ends is found by the lock on its pid file, and ended by `corral down`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from cli.fleet import vms


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """Two VMs that run, one that does not, by real QEMU processes without a guest."""
    bystander = subprocess.Popen(["sleep", "60"])
    for host, vm_id, name in (("host-b", "v2", "web"), ("host-a", "v1", "db"), ("host-a", "v3", "off")):
        folder = tmp_path / "hosts" / host / "vms" / vm_id
        folder.mkdir(parents=True)
        (folder / "vm.json").write_text(json.dumps({"spec": {"name": name}}))
        if name == "off":
            (folder / "qemu.pid").write_text(f"{bystander.pid}\n")  # a former one's, meanwhile another's number
        else:
            machine = ["qemu-system-x86_64", "-machine", "none", "-display", "none", "-nodefaults", "-daemonize"]
            subprocess.run([*machine, "-pidfile", str(folder / "qemu.pid")], check=True, timeout=20)
    yield tmp_path
    vms.end(vms.running(tmp_path), grace=0)
    bystander.kill()
    bystander.wait()


def test_running_vms_are_known_by_host_and_name(home: Path) -> None:
    assert [(vm.host, vm.name) for vm in vms.running(home)] == [("host-a", "db"), ("host-b", "web")]


def test_down_ends_them_and_says_which(home: Path) -> None:
    before = vms.running(home)
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", "down"],
        env={**os.environ, "CORRAL_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout == (
        "asking 2 VMs to shut down; in 30 s their power is cut\n"
        f"stopped db on host-a\nstopped web on host-b\n2 VMs were running in {home}\n"
    )
    assert vms.running(home) == []
    assert not any(vm.process.is_running() for vm in before)


def test_one_that_does_not_listen_is_killed(home: Path) -> None:
    found = vms.running(home)
    for vm in found:
        vm.process.suspend()  # a stopped process does not act on SIGTERM
    vms.end(found, grace=0.2)
    assert not any(vm.process.is_running() and vm.process.status() != psutil.STATUS_ZOMBIE for vm in found)
