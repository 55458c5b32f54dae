"""Whom a VM's QEMU runs as, what is its own, and what it can't touch."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.drivers.base import DriverFolders
from agent.drivers.capabilities.hardware import DiskRequest
from agent.drivers.qemu import QemuDriver
from agent.system import process, users
from agent.system.users import Users
from core.contract import pidfiles
from core.contract.errors import DriverFailure
from core.contract.messages import Forward, VmSpec
from core.contract.states import Observed
from tests.contract.test_port_forwards import free_port
from tests.qemu.conftest import LONG, silent, spec
from tests.support.waiting import until

SATA = "SATA Controller"
FIRST = Users().first

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="where the agent is not root, VMs run as it does")


@pytest.fixture
def here(tmp_path: Path, images: Path) -> Iterator[DriverFolders]:
    """A place of its own, in folders that no other user may enter; nothing of it outlives the test."""
    made = DriverFolders(tmp_path / "vms", images, (tmp_path / "media",))
    for folder in (made.vms, *made.media):
        folder.mkdir(parents=True)
    yield made
    for path in made.vms.glob("[!.]*"):
        QemuDriver(made).delete(replace(spec(), id=path.name), LONG)


@pytest.fixture
def empty(here: DriverFolders) -> VmSpec:
    """A VM without an image, whose firmware finds nothing to boot."""
    return made_in(here)


def made_in(place: DriverFolders) -> VmSpec:
    """One more."""
    vm = replace(spec(memory_mb=64, disk_gb=1, image=None), forwards=[Forward("tcp", free_port(), 80)])
    QemuDriver(place).create(vm, silent, LONG)
    return vm


def told(pid: int, name: str) -> list[str]:
    """A line of /proc/<pid>/status."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.split()[1:] for line in lines if line.startswith(f"{name}:"))


def test_each_vm_runs_as_a_user_of_its_own_without_any_privilege(here: DriverFolders, empty: VmSpec) -> None:
    driver, other = QemuDriver(here), made_in(here)
    uids = set()
    for vm in (empty, other):
        pid = driver.start(vm, silent, LONG).pid
        assert pid is not None
        (uid,) = set(told(pid, "Uid") + told(pid, "Gid"))
        assert FIRST <= int(uid) <= Users().last
        assert told(pid, "Groups") in ([], [str(FIRST)])
        assert set(told(pid, "CapPrm") + told(pid, "CapEff") + told(pid, "CapBnd")) == {"0" * 16}
        assert told(pid, "NoNewPrivs") == ["1"]
        uids.add(uid)
    assert len(uids) == 2
    driver.stop(empty, 0.0, silent, LONG)
    again = QemuDriver(here).start(empty, silent, LONG).pid
    assert again is not None
    assert told(again, "Uid")[0] in uids
    for vm in (empty, other):
        driver.delete(vm, LONG)
    assert list((here.vms / users.SHELF).iterdir()) == []


def test_its_files_are_its_own_and_nobody_elses_and_its_folder_is_not(here: DriverFolders, empty: VmSpec) -> None:
    pid = QemuDriver(here).start(empty, silent, LONG).pid
    assert pid is not None
    uid, folder = int(told(pid, "Uid")[0]), here.vms / empty.id
    assert (folder.stat().st_uid, stat.S_IMODE(folder.stat().st_mode)) == (0, 0o710)
    files = [*(folder / "layers").iterdir(), folder / "console.log", folder / "qga.in", folder / "events.out"]
    assert {(file.stat().st_uid, stat.S_IMODE(file.stat().st_mode)) for file in files} == {(uid, 0o600)}
    for name in ("vm.json", "user", "qemu.pid", "qemu.log", "qmp.sock", "console.sock"):
        assert (folder / name).stat().st_uid == 0
    as_it = users.SystemUser(uid).command()
    for order in ("echo 1 >qemu.pid", "echo >vm.json", "rm qemu.pid", "mv layers elsewhere", "ln -s / layers/x", "ls"):
        assert subprocess.run([*as_it, "sh", "-c", order], cwd=folder, check=False, timeout=10).returncode != 0
    as_another = users.SystemUser(Users().last).command()
    look = [*as_another, "sh", "-c", f"cat {folder}/layers/*"]
    assert subprocess.run(look, check=False, timeout=10, capture_output=True).returncode != 0


def test_media_are_handed_over_open_and_stay_the_hosts(here: DriverFolders, empty: VmSpec) -> None:
    driver = QemuDriver(here)
    driver.start(empty, silent, LONG)
    for name in ("a.qcow2", "b.raw"):
        port = 1 if name == "a.qcow2" else 2
        request = DiskRequest(SATA, port, 0, "hdd", name, create_if_missing=True, size_gb=1)
        for _ in range(2):
            driver.disk_attach(empty, request, LONG)
            driver.disk_detach(empty, SATA, port, 0, LONG)
        driver.disk_attach(empty, request, LONG)
        (file,) = here.media[0].rglob(name)
        assert file.stat().st_uid == 0
    driver.stop(empty, 0.0, silent, LONG)
    driver.start(empty, silent, LONG)
    media = {Path(disk.medium).name for disk in driver.disks(empty) if not disk.own}
    assert media == {"a.qcow2", "b.raw"}
    driver.disk_detach(empty, SATA, 1, 0, LONG)


def test_what_an_older_release_left_is_taken_over(here: DriverFolders, empty: VmSpec) -> None:
    """Files of root, and a QEMU that runs as root, with its own pid file and sockets."""
    driver, folder = QemuDriver(here), here.vms / empty.id
    disk = next((folder / "layers").iterdir())
    disk.chmod(0o644)
    folder.chmod(0o755)
    for name in ("qga.in", "qga.out", "events.in"):
        os.mkfifo(folder / name)
    (folder / "events.out").touch()
    options = ["-machine", "q35", "-m", "64", "-nodefaults", "-display", "none", "-pidfile", "qemu.pid"]
    node = f"driver=qcow2,node-name=layer-{disk.stem},file.driver=file,file.filename=layers/{disk.name}"
    drive = ["-blockdev", node, "-device", f"virtio-blk-pci,id=disk0,drive=layer-{disk.stem}"]
    monitor = ["-qmp", "unix:qmp.sock,server=on,wait=off", "-netdev", "user,id=net0"]
    command = ["qemu-system-x86_64", *options, *drive, *monitor]
    with process.spawn(command, folder=folder, log=folder / "qemu.log"):
        until((folder / "qmp.sock").exists)
    driver.snapshot_create(empty, "then", False, silent, LONG)
    assert driver.port_forwards(empty.id) == []
    driver.stop(empty, 0.0, silent, LONG)
    pid = driver.start(empty, silent, LONG).pid
    assert pid is not None
    assert int(told(pid, "Uid")[0]) >= FIRST
    assert len({file.stat().st_uid for file in (folder / "layers").iterdir()}) == 1
    driver.snapshot_restore(empty, "then", True, silent, LONG)
    assert driver.observe(empty.id).state is Observed.RUNNING


def test_a_pid_file_is_held_by_who_inherits_it_and_not_written_by_it(tmp_path: Path) -> None:
    file = tmp_path / "x.pid"
    held = pidfiles.take(file)
    file.write_text("42")
    assert pidfiles.holder(file) == 42
    with pytest.raises(OSError, match="held"):
        pidfiles.take(file)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.write(held, b"1")
    os.close(held)
    assert pidfiles.holder(file) is None


def test_users_are_the_vms_own_and_never_two_vms(tmp_path: Path) -> None:
    few = Users(3_000_000, 3_000_002)
    for name in "abcd":
        (tmp_path / name).mkdir()
    taken = {few.take(tmp_path, name).uid for name in "abc"}
    assert taken == {3_000_000, 3_000_001, 3_000_002}
    with pytest.raises(DriverFailure, match="CORRAL_VM_UIDS"):
        few.take(tmp_path, "d")
    freed = few.take(tmp_path, "b")
    few.release(tmp_path, "b")
    assert few.take(tmp_path, "d") == freed
    assert {few.take(tmp_path, name).uid for name in "ac"} == taken - {freed.uid}


def test_no_link_is_given_to_a_vms_user(tmp_path: Path) -> None:
    (tmp_path / "passwd").write_text("root")
    (tmp_path / "link").symlink_to("passwd")
    os.link(tmp_path / "passwd", tmp_path / "other")
    for name in ("link", "other"):
        with pytest.raises(DriverFailure, match="is a link"):
            users.SystemUser(FIRST).own(tmp_path / name)
    assert (tmp_path / "passwd").stat().st_uid == 0
