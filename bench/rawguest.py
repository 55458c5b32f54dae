"""The raw thing: QEMU with the same image, started by hand, its guest agent asked over a kept socket."""

from __future__ import annotations

import base64
import json
import select
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from core.contract import images

_BOOT_SECONDS = 120.0
_NO_LIMIT = {"max-bandwidth": 1 << 40}


class RawGuest:
    """One VM; not a layer more than it needs."""

    def __init__(
        self, folder: Path, store: Path, acceleration: str, *, over: Path | None = None, memory: Path | None = None
    ) -> None:
        image = images.read(store, "linux-default")
        place = store / image.name
        disk = folder / "raw.qcow2"
        below = (place / image.disk.name, image.format) if over is None else (over, "qcow2")
        base = ["-b", str(below[0]), "-F", below[1]]
        self._disk, self._memory = disk, folder / "memory"
        began = time.perf_counter()
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *base, str(disk), "10G"], check=True)
        boot = ["-kernel", str(place / "vmlinuz"), "-initrd", str(place / "initrd")]
        self._process = subprocess.Popen(
            [
                *["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35"],
                *["-accel", acceleration, "-cpu", "max", "-smp", "1", "-m", "512"],
                *["-drive", f"file={disk},if=virtio,discard=unmap", *boot, "-append", image.cmdline],
                *["-netdev", "user,id=net0", "-device", "virtio-net-pci,netdev=net0,romfile="],
                *["-device", "virtio-rng-pci", "-serial", f"file:{folder / 'raw.log'}"],
                *[
                    "-chardev",
                    f"socket,id=qga,path={folder / 'qga'},server=on,wait=off",
                    "-device",
                    "virtio-serial-pci",
                ],
                *["-device", "virtserialport,chardev=qga,name=org.qemu.guest_agent.0"],
                *["-qmp", f"unix:{folder / 'qmp'},server=on,wait=off"],
                *(["-incoming", f"exec:cat {memory}"] if memory else []),
            ],
            stdout=subprocess.DEVNULL,  # it tells of each new layer
        )
        self._turn = threading.Lock()
        self._got = bytearray()
        self._socket = self._connect(folder / "qga")
        self._monitor = self._connect(folder / "qmp").makefile("rwb")
        self._monitor.readline()
        self._order("qmp_capabilities")
        if memory:
            self._until_migrated()
            self._order("cont")  # it was saved while it waited
        self._wait_for_guest()
        self.boot_seconds = self._answered_at - began

    def execute(self, command: str) -> None:
        """guest-exec of the guest's shell, and guest-exec-status until it has ended; from any thread."""
        pid = self._ask("guest-exec", path="/bin/bash", arg=["-c", command])["pid"]
        while not self._ask("guest-exec-status", pid=pid)["exited"]:
            time.sleep(0.002)

    def snapshot(self, *, with_memory: bool) -> float:
        """A new layer, and with memory the machine to a file while it waits; the seconds that it took."""
        began = time.perf_counter()
        over = str(self._disk.with_name("over.qcow2"))
        if with_memory:
            self._order("stop")
            self._order("migrate-set-parameters", **_NO_LIMIT)
        self._order("blockdev-snapshot-sync", device="virtio0", **{"snapshot-file": over, "format": "qcow2"})
        if with_memory:
            self._order("migrate", uri=f"exec:cat >{self._memory} && sync {self._memory}")
            self._until_migrated()
            self._order("cont")
        return time.perf_counter() - began

    def _until_migrated(self) -> None:
        deadline = time.monotonic() + _BOOT_SECONDS
        while self._order("query-migrate").get("status") != "completed":
            if time.monotonic() > deadline:
                raise TimeoutError("the raw guest's memory was not moved")
            time.sleep(0.01)

    def write(self, path: str, piece: bytes, times: int) -> float:
        """guest-file-write of a file, 1 MB a request; how long that took, in seconds."""
        text = base64.b64encode(piece).decode()
        began = time.perf_counter()
        handle = self._ask("guest-file-open", path=path, mode="w")
        for _ in range(times):
            self._ask("guest-file-write", handle=handle, **{"buf-b64": text})
        self._ask("guest-file-close", handle=handle)
        return time.perf_counter() - began

    def read(self, path: str, times: int) -> float:
        """guest-file-read of a file, 1 MB a request; how long that took, in seconds."""
        began = time.perf_counter()
        handle = self._ask("guest-file-open", path=path, mode="r")
        for _ in range(times):
            base64.b64decode(self._ask("guest-file-read", handle=handle, count=1 << 20)["buf-b64"])
        self._ask("guest-file-close", handle=handle)
        return time.perf_counter() - began

    def close(self) -> None:
        """The plug."""
        self._process.kill()
        self._process.wait()
        self._socket.close()
        self._monitor.close()

    def _connect(self, path: Path) -> socket.socket:
        made = socket.socket(socket.AF_UNIX)
        deadline = time.monotonic() + 10
        while True:
            try:
                made.connect(str(path))
                return made
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def _wait_for_guest(self) -> None:
        deadline = time.monotonic() + _BOOT_SECONDS
        while time.monotonic() < deadline:
            self._socket.sendall(b'\xff{"execute":"guest-ping"}\n')
            if select.select([self._socket], [], [], 0.1)[0] and b"return" in self._socket.recv(65536):
                self._answered_at = time.perf_counter()
                self._skip_answers()
                return
        raise TimeoutError("the raw guest did not boot")

    def _skip_answers(self) -> None:
        """Up to the answer of a marker: those to the pings that waited in the channel."""
        self._socket.sendall(b'\xff{"execute":"guest-sync-delimited","arguments":{"id":1}}\n')
        while json.loads(self._line().rpartition(b"\xff")[2]).get("return") != 1:
            pass

    def _order(self, command: str, **arguments: Any) -> Any:
        self._monitor.write(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        self._monitor.flush()
        while "return" not in (answer := json.loads(self._monitor.readline())):
            if "error" in answer:
                raise RuntimeError(f"{command}: {answer['error']}")
        return answer["return"]

    def _ask(self, command: str, **arguments: Any) -> Any:
        with self._turn:
            self._socket.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
            return json.loads(self._line())["return"]

    def _line(self) -> bytes:
        while b"\n" not in self._got:
            self._got += self._socket.recv(65536)
        line, _, rest = bytes(self._got).partition(b"\n")
        self._got = bytearray(rest)
        return line


@contextmanager
def raw_guest(
    folder: Path, store: Path, acceleration: str, *, over: Path | None = None, memory: Path | None = None
) -> Iterator[RawGuest]:
    """A booted one, gone afterwards; over a layer, and going on from a memory, if they are given."""
    folder.mkdir(exist_ok=True)
    guest = RawGuest(folder, store, acceleration, over=over, memory=memory)
    try:
        yield guest
    finally:
        guest.close()
