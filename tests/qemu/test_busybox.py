"""A guest whose first tools are BusyBox's: nothing that is sent there has options of GNU's own."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.drivers.base import DriverFolders
from agent.drivers.capabilities.execs import Detached
from agent.drivers.capabilities.files import FileTarget
from agent.drivers.capabilities.guest import GuestExecRequest, GuestExecResult
from agent.drivers.qemu import QemuDriver
from core.contract.errors import DriverFailure, GuestTimeout
from core.contract.messages import VmSpec
from tests.qemu.conftest import IMAGE, LONG, silent, spec
from tests.support.clones import Clones
from tests.support.waiting import until
from workers.scans import evidence
from workers.scans.families import FAMILIES

FIRST = "/usr/local/sbin"  # in the PATH of guest agents and of commands
BUSYBOX = f"{FIRST}/busybox"
# The only shell, too.
INSTALL = f"{BUSYBOX} --install -s {FIRST} && ln -sf {BUSYBOX} /usr/bin/sh && rm -f /usr/bin/bash /usr/bin/dash"
TOOLS = (
    "chmod",
    "find",
    "grep",
    "head",
    "mkdir",
    "mktemp",
    "mv",
    "readlink",
    "sh",
    "sort",
    "stat",
    "sync",
    "tail",
    "wc",
)
PIECE = 128 * 1024
HEAD, FIELD = 110, 8  # of an entry of a cpio archive; docs: Linux, early-userspace/buffer-format.rst


def in_initrd(initrd: Path, name: str) -> bytes:
    """A file of an uncompressed cpio archive."""
    data, at = initrd.read_bytes(), 0
    while True:
        fields = [int(data[i : i + FIELD], 16) for i in range(at + 6, at + HEAD, FIELD)]
        size, length = fields[6], fields[11]
        begin = at + HEAD + length + -(HEAD + length) % 4
        if data[at + HEAD : at + HEAD + length - 1].decode() == name:
            return data[begin : begin + size]
        assert length > 1, name
        at = begin + size + -size % 4


def pieces(content: bytes) -> Iterator[bytes]:
    """As files come to a driver."""
    yield from (content[at : at + PIECE] for at in range(0, len(content), PIECE))


@pytest.fixture(scope="module")
def busy(place: DriverFolders, images: Path, clones: Clones) -> Iterator[VmSpec]:
    """A running VM that has them, from the image's own initrd."""
    driver, vm = QemuDriver(place), spec()
    driver.create(vm, silent, LONG)
    clones.start(driver, place.vms, vm)
    content = in_initrd(images / IMAGE / "initrd", "bin/busybox")
    assert driver.execute(vm, GuestExecRequest("true", 60.0)).exit_code == 0
    driver.file_write(vm, BUSYBOX, pieces(content), lambda: FileTarget(BUSYBOX, 0o755))
    done = driver.execute(vm, GuestExecRequest(INSTALL, 60.0))
    assert done.exit_code == 0, done.stderr
    yield vm
    driver.delete(vm, LONG)


def run(vm: VmSpec, place: DriverFolders, command: str, timeout: float = 60.0, **more: object) -> GuestExecResult:
    return QemuDriver(place).execute(vm, GuestExecRequest(command, timeout, **more))  # type: ignore[arg-type]


def test_they_come_first(busy: VmSpec, place: DriverFolders) -> None:
    """Its shell has them without a look at the PATH, where they come first too."""
    found = run(busy, place, f"for tool in {' '.join(TOOLS)}; do command -v $tool; done; readlink -f /proc/$$/exe")
    *tools, shell = found.stdout.decode().split()
    assert (tools, shell) == (list(TOOLS), BUSYBOX)
    assert run(busy, place, f"env {FIRST}/which {' '.join(TOOLS)}").stdout.decode().split() == [
        f"{FIRST}/{tool}" for tool in TOOLS
    ]
    assert run(busy, place, "find / -maxdepth 0 -printf x").exit_code != 0


def test_files_go_there_and_back_and_are_listed(busy: VmSpec, place: DriverFolders) -> None:
    driver, content = QemuDriver(place), bytes(range(256)) * 4096
    names = ["a b", "-n", "new\nline", "quote'd", "ü"]
    for name in names:
        path = f"/root/made/here/{name}"
        driver.file_write(busy, path, pieces(content), lambda path=path: FileTarget(path, 0o640))  # type: ignore[misc]
    driver.file_write(busy, None, iter([b"shorter"]), lambda: FileTarget("/root/made/here/ü"))
    listed = driver.file_list(busy, "/root/made", recursive=True, most=100)
    there = {each.path: (each.kind, each.size_bytes, each.permissions) for each in listed.entries}
    whole = {f"/root/made/here/{name}": ("file", len(content), 0o640) for name in names}
    assert there == whole | {"/root/made/here": ("directory", there["/root/made/here"][1], 0o755)} | {
        "/root/made/here/ü": ("file", 7, 0o640)
    }
    assert driver.file_list(busy, "/root/made/here", recursive=False, most=2).truncated
    with driver.file_read(busy, "/root/made/here/-n") as reading:
        assert (reading.size_bytes, b"".join(reading.chunks(3, 1000))) == (len(content), content[3:1003])
    with driver.file_read(busy, "/sys/class/net/lo/address") as reading:
        assert b"".join(reading.chunks(0, None)) == b"00:00:00:00:00:00\n"
    with pytest.raises(DriverFailure) as failure:
        driver.file_list(busy, "/root/made/nothing", recursive=False, most=2)
    assert failure.value.code == "file_not_found"
    with pytest.raises(RuntimeError, match="cut off"):
        driver.file_write(busy, "/root/made/half", _broken(), lambda: FileTarget("/root/made/half"))
    assert run(busy, place, "ls -A /root/made").stdout == b"here\n"


def _broken() -> Iterator[bytes]:
    yield b"some"
    raise RuntimeError("cut off")


def test_commands_run_end_and_are_ended(busy: VmSpec, place: DriverFolders) -> None:
    environment = {"WORD": "a b"}
    done = run(
        busy, place, 'pwd; echo "$WORD"; cat; exit 3', working_directory="/var", environment=environment, stdin=b"in"
    )
    assert (done.exit_code, done.stdout) == (3, b"/var\na b\nin")
    with pytest.raises(DriverFailure) as failure:
        run(busy, place, "true", working_directory="/nowhere")
    assert failure.value.code == "invalid_request"
    assert run(busy, place, "sleep 1001 & echo started").stdout == b"started\n"  # which holds its output
    with pytest.raises(GuestTimeout):
        run(busy, place, "sleep 1002 & (sleep 1003 >/dev/null 2>&1 &) ; wait", timeout=2.0)
    assert run(busy, place, "ps | grep 'sleep 100[123]' | grep -v grep").stdout == b""


def test_detached_commands_run_and_take_signals(busy: VmSpec, place: DriverFolders) -> None:
    driver, one = QemuDriver(place), uuid.uuid4().hex
    driver.exec_begin(busy, Detached(one, "echo one; sleep 1004"))
    until(lambda: driver.exec_output(busy, one, "stdout", 0, 100).data == b"one\n")
    driver.exec_signal(busy, one, "TERM")
    until(lambda: driver.exec_get(busy, one).state != "running")
    assert driver.exec_get(busy, one).exit_code == 143
    driver.exec_delete(busy, one)
    assert driver.exec_list(busy) == []


@pytest.mark.timeout(400)
def test_a_scan_loses_no_check_to_an_option(busy: VmSpec, place: DriverFolders) -> None:
    lost = []
    for family in FAMILIES:
        done = run(busy, place, "sh -s", family.seconds, stdin=evidence.script(family, "mark").encode())
        outcomes = evidence.outcomes(family, "mark", done.stdout.decode(errors="replace"))
        words = ("commands failed", "ended before this check", "unrecognized option", "invalid option", "Usage:")
        lost += [each for each in outcomes if any(word in each["evidence"] for word in words)]
    assert lost == []
