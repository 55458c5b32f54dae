"""The relay of a serial console, with a socket in the place of VirtualBox's."""

from __future__ import annotations

import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.drivers import consoles, relay
from agent.drivers.virtualbox.folder import VirtualBoxVmFolder
from agent.system import sockets
from tests.support.waiting import until

SECONDS = 20.0


@pytest.fixture
def folder(tmp_path: Path) -> VirtualBoxVmFolder:
    """A VM's folder, too deep for a socket's address."""
    path = tmp_path / ("y" * 100) / f"vm-{uuid.uuid4().hex[:12]}"
    path.mkdir(parents=True)
    return VirtualBoxVmFolder(path)


@pytest.fixture
def port(folder: VirtualBoxVmFolder) -> Iterator[socket.socket]:
    """The serial port as its VM has it, with the relay at the other end; the relay ends with it."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder.console))
        server.listen(1)
        server.settimeout(SECONDS)
        consoles.attend(folder.path, folder.console)
        guest, _ = server.accept()
        guest.settimeout(SECONDS)
        with guest:
            yield guest
        folder.console.unlink()
    until(lambda: not consoles.attended(folder.path))


def test_both_name_the_same_files() -> None:
    assert (consoles.LOCK, consoles.LOG, consoles.KEYBOARD) == (relay.LOCK, relay.LOG, relay.KEYBOARD)


def test_output_is_kept_and_what_is_typed_arrives(folder: VirtualBoxVmFolder, port: socket.socket) -> None:
    console = consoles.console(folder.path, folder.console)  # finds the relay that is there
    everything = bytes(range(256)) * 300
    port.sendall(everything)
    until(lambda: console.log.exists() and console.log.read_bytes() == everything)
    assert console.log.stat().st_mode & 0o777 == 0o600
    assert console.socket is not None
    for words in (b"root\n", b"\x00\xff\x03"):
        with sockets.connect(console.socket, SECONDS) as typist:
            typist.sendall(words)
            assert port.recv(100) == words
            port.sendall(b"echo")
            assert typist.recv(100) == b"echo"


def test_a_long_log_is_kept_in_two_parts(folder: VirtualBoxVmFolder, port: socket.socket) -> None:
    block = b"x" * 65536
    for _ in range(relay.KEPT_BYTES // len(block) + 2):
        port.sendall(block)
    until((folder.path / f"{consoles.LOG}.1").exists)


def test_one_that_begins_when_its_vm_is_being_deleted_makes_no_file(folder: VirtualBoxVmFolder) -> None:
    command = [sys.executable, "-I", "-S", str(consoles.PROGRAM), "console.sock"]
    done = subprocess.run(command, cwd=folder.path, capture_output=True, timeout=SECONDS, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert list(folder.path.iterdir()) == []
