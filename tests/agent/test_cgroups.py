"""Limits by control groups: what is written, what is refused, and that a process is inside from its first moment.

A folder stands in for a group, as few hosts of tests hand their controllers down; tests/qemu holds what is written
against a real kernel. That a process enters a group is shown on a real one wherever there is one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.system import cgroups, process
from core.contract.errors import Unsupported
from core.contract.messages import VmSpec
from tests.support.waiting import until

VM = VmSpec("vm-1", "web", "qemu", "linux", 2, 512, 4)
HALF = replace(VM, cpu_limit_percent=50, memory_limit_percent=50)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A group whose controllers are all there."""
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    (tmp_path / "cgroup.subtree_control").write_text("memory cpu\n")
    return tmp_path


@pytest.fixture
def real() -> Iterator[Path]:
    """A real group of version 2 that nobody else uses."""
    try:
        made = cgroups.own() / f"corral-test-{os.getpid()}"
        made.mkdir()
    except (Unsupported, OSError) as error:
        pytest.skip(f"this host has no control group that is ours: {error}")
    yield made
    made.rmdir()


def test_limits_are_shares_of_what_the_vm_has(home: Path) -> None:
    group = cgroups.prepare(home, HALF, 10)
    assert group == home / "vm-vm-1"
    assert (group / "cpu.max").read_text() == "100000 100000"
    assert (group / "memory.high").read_text() == str((256 + 10) * 2**20)
    assert cgroups.prepare(home, VM, 10) == group
    assert (group / "cpu.max").read_text() == "max 100000"
    assert (group / "memory.high").read_text() == "max"


@pytest.mark.parametrize(
    ("file", "text", "says"),
    [
        ("cgroup.controllers", "cpuset io\n", "controllers cpu and memory"),
        ("cgroup.controllers", "cpu io\n", "the controllers memory"),
        ("cgroup.controllers", None, "No such file"),
        ("cgroup.subtree_control", None, "CORRAL_CGROUP"),
    ],
)
def test_what_is_missing_is_said_and_only_limits_need_it(home: Path, file: str, text: str | None, says: str) -> None:
    (home / file).unlink()
    if text is not None:
        (home / file).write_text(text)
    assert cgroups.find(home, VM) is None
    with pytest.raises(Unsupported, match=says):
        cgroups.find(home, HALF)
    assert not (home / "vm-vm-1").exists()


def test_controllers_are_handed_down_once(home: Path) -> None:
    (home / "cgroup.subtree_control").write_text("\n")
    cgroups.find(home, HALF)
    assert (home / "cgroup.subtree_control").read_text() == "+cpu +memory"


def test_a_process_is_in_its_group_from_its_first_moment(real: Path, tmp_path: Path) -> None:
    group = real / "vm-vm-1"
    group.mkdir()
    said = tmp_path / "said"
    with process.spawn(["cat", "/proc/self/cgroup"], folder=tmp_path, log=said, group=group) as daemon:
        until(daemon.ended)
    assert f"/{real.name}/vm-vm-1" in said.read_text()
    with process.spawn(["sleep", "0.3"], folder=tmp_path, log=said, group=group) as daemon:
        pid = int(_text(group / cgroups.PROCESSES))
        assert cgroups.holds(group, pid)
        assert not cgroups.holds(group, os.getpid())
        until(daemon.ended)
    cgroups.remove(real, "vm-1")
    assert not group.exists()
    with process.spawn(["cat", "/proc/self/cgroup"], folder=tmp_path, log=said, group=group) as daemon:
        until(daemon.ended)
    assert "cannot create" in said.read_text()


def _text(file: Path) -> str:
    return str(until(file.read_text))
