"""Files in a real guest: what only a real one has, and transfers that end before they are done."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from agent.drivers.base import DriverFolders
from agent.drivers.capabilities.files import FileTarget
from agent.drivers.qemu import QemuDriver
from agent.guest import transfers
from core.contract.errors import DriverFailure
from core.contract.messages import VmSpec
from tests.qemu.conftest import LONG, silent
from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.qemu.conftest import Run

# Writes without end, and says so; run by a process that a test kills.
_ENDLESS = """
import sys
from itertools import repeat
from pathlib import Path
from agent.drivers.capabilities.files import FileTarget
from agent.guest import files
files.write(Path(sys.argv[1]), "/root/half", repeat(bytes(100_000)), lambda: FileTarget("/root/half", 0o644))
"""


def write(driver: QemuDriver, vm: VmSpec, path: str, chunks: Iterator[bytes], permissions: int = 0o644) -> str:
    return driver.file_write(vm, path, chunks, lambda: FileTarget(path, permissions)).path


def test_links_are_followed_to_files_and_not_in_lists(driver: QemuDriver, running: VmSpec, run: Run) -> None:
    made = "mkdir -p /root/l/d && cd /root/l && ln -s d/f link && ln -s . loop && ln -s /no/such dead && mkfifo pipe"
    assert run(f"{made} && echo old > d/f && printf x > $'bad\\xff'").exit_code == 0
    assert write(driver, running, "/root/l/link", iter([b"new"])) == "/root/l/d/f"
    assert run("cat /root/l/d/f; test -L /root/l/link").stdout == b"new"
    listed = driver.file_list(running, "/root/l", True, 100)
    assert {(each.path, each.kind) for each in listed.entries} == {
        ("/root/l/bad\ufffd", "file"),
        ("/root/l/d", "directory"),
        ("/root/l/d/f", "file"),
        ("/root/l/dead", "symlink"),
        ("/root/l/link", "symlink"),
        ("/root/l/loop", "symlink"),
        ("/root/l/pipe", "other"),
    }
    for path, code in (("/root/l/dead", "file_not_found"), ("/root/l/pipe", "not_a_file")):
        with pytest.raises(DriverFailure) as failure, driver.file_read(running, path):
            pass
        assert failure.value.code == code


def test_files_whose_size_is_a_lie_are_read_whole(driver: QemuDriver, running: VmSpec, run: Run) -> None:
    for path in ("/sys/class/net/lo/address", "/proc/cpuinfo", "/proc/kallsyms"):
        with driver.file_read(running, path) as reading:
            told, data = reading.size_bytes, b"".join(reading.chunks(0, None))
        assert told == (None if path == "/proc/kallsyms" else len(data))
        assert data[:10] == run(f"head -c 10 {path}", timeout=60.0).stdout
        assert data.endswith(b"\n")
    with driver.file_read(running, "/sys/class/net/lo/address") as reading:
        assert b"".join(reading.chunks(3, 5)) == b"00:00"


def test_an_upload_replaces_regular_files_alone_and_keeps_their_owner(
    driver: QemuDriver, running: VmSpec, run: Run
) -> None:
    made = "mkdir -p /root/kinds && cd /root/kinds && mkfifo pipe && echo old >own && chown 12:34 own && chmod 640 own"
    assert run(f"{made} && ln -s own link && ln -s /dev/null nothing").exit_code == 0
    for path in ("/dev/null", "/root/kinds/pipe", "/root/kinds/nothing"):
        for near in (path, None):
            with pytest.raises(DriverFailure, match="regular file") as failure:
                driver.file_write(running, near, iter([b"new"]), lambda path=path: FileTarget(path))  # type: ignore[misc]
            assert failure.value.code == "not_a_file"
    driver.file_write(running, None, iter([b"new"]), lambda: FileTarget("/root/kinds/link"))
    told = run("cd /root/kinds; stat -c '%a %u %g' own; cat own; readlink link; [ -c /dev/null ] && ls -A")
    assert told.stdout == b"640 12 34\nnewown\nlink\nnothing\nown\npipe\n"


def test_a_full_disk_says_so_and_is_left_as_it_was(driver: QemuDriver, running: VmSpec, run: Run) -> None:
    assert run("mkdir -p /root/full && mount -t tmpfs -o size=1m none /root/full").exit_code == 0
    try:
        with pytest.raises(DriverFailure, match="no space") as failure:
            write(driver, running, "/root/full/f", iter([bytes(700_000)] * 3))
        assert failure.value.code == "no_space"
        assert run("ls -A /root/full").stdout == b""
    finally:
        run("umount /root/full")


def test_what_is_half_written_is_nobody_elses_to_read(driver: QemuDriver, running: VmSpec, run: Run) -> None:
    seen = b""

    def chunks() -> Iterator[bytes]:
        nonlocal seen
        yield b"secret"
        seen = run("stat -c %a /root/.corral-*").stdout

    write(driver, running, "/root/secret", chunks(), 0o600)
    assert seen == b"600\n"


def test_what_a_killed_agent_left_is_removed_by_the_next_transfer(
    place: DriverFolders, driver: QemuDriver, running: VmSpec, run: Run
) -> None:
    channel = place.vms / running.id
    process = subprocess.Popen([sys.executable, "-c", _ENDLESS, str(channel)])
    until(lambda: run("stat -c %s /root/.corral-*").stdout.strip() not in (b"", b"0"))
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    assert run("ls -A /root/half").exit_code != 0
    assert run("ls -d /root/.corral-*").exit_code == 0
    open_there = "ls -l /proc/$(pidof qemu-ga)/fd | grep -c corral"
    assert run(open_there).stdout == b"1\n"
    with driver.file_read(running, "/etc/hostname") as reading:
        assert b"".join(reading.chunks(0, None))
    assert run("ls -d /root/.corral-*").exit_code != 0
    assert run(open_there).stdout == b"0\n"
    assert os.listdir(channel / transfers.FOLDER) == []  # noqa: PTH208


def test_commands_get_in_between_while_a_file_is_written(driver: QemuDriver, running: VmSpec, run: Run) -> None:
    done = threading.Event()

    def chunks() -> Iterator[bytes]:
        while not done.is_set():
            yield bytes(256 * 1024)

    writing = threading.Thread(target=write, args=[driver, running, "/root/busy", chunks()])
    writing.start()
    try:
        for number in range(3):
            assert run(f"echo {number}").stdout == f"{number}\n".encode()
        assert writing.is_alive()
    finally:
        done.set()
        writing.join(60)
    run("rm /root/busy")


def test_a_guest_that_stops_meanwhile_has_no_half_file(driver: QemuDriver, running: VmSpec, run: Run) -> None:
    began = threading.Event()

    def chunks() -> Iterator[bytes]:
        while True:
            yield bytes(100_000)
            began.set()

    def stop() -> None:
        began.wait(30)
        driver.stop(running, 0.0, silent, LONG)

    stopping = threading.Thread(target=stop)
    stopping.start()
    with pytest.raises(DriverFailure) as failure:
        write(driver, running, "/root/stopped", chunks())
    stopping.join(30)
    assert failure.value.code == "guest_stopped"
    driver.start(running, silent, LONG)
    assert write(driver, running, "/root/next", iter([b"x"])) == "/root/next"
    assert run("ls -A /root | grep -e corral -e stopped").stdout == b""
