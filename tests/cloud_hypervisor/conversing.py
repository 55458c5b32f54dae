"""Conversations with Cloud Hypervisor, and what the real one answered: `python -m tests.cloud_hypervisor.conversing`
records that anew, where it is installed and may use KVM.

Paths are relative to a folder with a kernel, a raw disk and one of qcow2 over it. What a guest would have to do is left
out, so that they can be had with a kernel that gets nowhere.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

from core import settings
from core.contract import images
from tests.support.waiting import until

RECORDED = Path(__file__).with_name("answers.json")
JSON = dict[str, Any]
SECONDS = 30.0

CONFIG: JSON = {
    "cpus": {"boot_vcpus": 1, "max_vcpus": 4, "nested": False},
    "memory": {"size": 256 << 20, "hotplug_size": 4 << 30},
    "payload": {"kernel": "vmlinuz", "cmdline": "console=ttyS0"},
    "disks": [{"id": "disk0", "path": "layer.qcow2", "image_type": "Qcow2", "backing_files": True, "num_queues": 1}],
    "rng": {"src": "/dev/urandom"},
    "balloon": {"size": 0, "deflate_on_oom": True},
    "serial": {"mode": "Socket", "socket": "serial.sock"},
    "console": {"mode": "Off"},
    "vsock": {"cid": 3, "socket": "vsock.sock"},
    "pvpanic": True,
    "platform": {"system_uuid": "5b1d1c2e-0f4c-5a53-9c43-0d6b2f6f7c11"},
}
MEDIUM: JSON = {"id": "medium1", "path": "medium.raw", "image_type": "Raw", "readonly": False}
NET: JSON = {"id": "net1", "mac": "52:54:00:12:34:57", "num_queues": 2}

Step = tuple[str, str, JSON | None]


def _with(**changes: Any) -> JSON:
    return {**CONFIG, **changes}


def _disk(**changes: Any) -> JSON:
    return _with(disks=[{**CONFIG["disks"][0], **changes}])


CREATE: Step = ("PUT", "vm.create", CONFIG)
BOOT: Step = ("PUT", "vm.boot", None)
CONVERSATIONS: dict[str, list[Step]] = {
    "nothing there": [
        ("GET", "vmm.ping", None),
        ("GET", "vm.info", None),
        ("GET", "vm.counters", None),
        *(("PUT", f"vm.{verb}", None) for verb in ("boot", "pause", "resume", "shutdown", "power-button", "delete")),
        ("PUT", "vm.resize", {"desired_vcpus": 2}),
        ("PUT", "vm.snapshot", {"destination_url": "file://saved"}),
        ("PUT", "vm.restore", {"source_url": "file://saved"}),
        ("PUT", "vm.restore", {"source_url": "file://nowhere"}),
        ("GET", "vm.nothing", None),
        ("GET", "vm.boot", None),
        ("PUT", "vm.info", None),
        ("PUT", "vm.pause", {}),
    ],
    "what can't be read": [
        ("PUT", "vm.create", _with(memory={"size": "large"})),
        ("PUT", "vm.create", _with(memory={})),
        ("PUT", "vm.create", _with(cpus={"boot_vcpus": 1})),
        ("PUT", "vm.create", _with(cpus={"boot_vcpus": -1, "max_vcpus": 1})),
        ("PUT", "vm.create", _with(pvpanic="yes")),
        ("PUT", "vm.create", _with(serial={"mode": "Sockets"})),
        ("PUT", "vm.create", _with(vsock={"cid": 3})),
        ("PUT", "vm.create", _with(rng={})),
        ("PUT", "vm.resize", {"desired_vcpus": "two"}),
        ("PUT", "vm.remove-device", {}),
        ("PUT", "vm.restore", {"source_url": "file://saved", "memory_restore_mode": "Lazy"}),
        ("PUT", "vm.restore", {}),
    ],
    "what is not known is passed over": [("PUT", "vm.create", _with(colour="red")), ("GET", "vm.info", None)],
    "a life": [
        CREATE,
        CREATE,
        ("GET", "vm.info", None),
        ("PUT", "vm.pause", None),
        BOOT,
        BOOT,
        ("GET", "vm.info", None),
        ("GET", "vm.counters", None),
        ("PUT", "vm.resume", None),
        ("PUT", "vm.snapshot", {"destination_url": "file://saved"}),
        ("PUT", "vm.pause", None),
        ("PUT", "vm.pause", None),
        ("GET", "vm.info", None),
        ("PUT", "vm.resume", None),
        ("PUT", "vm.shutdown", None),
        ("PUT", "vm.shutdown", None),
        ("GET", "vm.info", None),
        ("PUT", "vm.delete", None),
        ("GET", "vm.info", None),
    ],
    "devices before the boot": [
        CREATE,
        ("PUT", "vm.add-net", NET),
        ("PUT", "vm.add-disk", MEDIUM),
        ("PUT", "vm.add-disk", MEDIUM),
        ("PUT", "vm.remove-device", {"id": "medium1"}),
        ("PUT", "vm.remove-device", {"id": "medium1"}),
        BOOT,
        ("GET", "vm.info", None),
    ],
    "devices of a machine that runs": [
        CREATE,
        BOOT,
        ("PUT", "vm.add-net", NET),
        ("PUT", "vm.add-net", NET),
        ("PUT", "vm.add-disk", MEDIUM),
        ("PUT", "vm.add-disk", MEDIUM),
        ("PUT", "vm.add-disk", {**MEDIUM, "id": "medium2", "path": "missing.raw"}),
        ("PUT", "vm.add-disk", {**MEDIUM, "id": "medium2", "path": "layer.qcow2", "image_type": "Qcow2"}),
        ("PUT", "vm.add-disk", {**MEDIUM, "id": "medium2", "image_type": "Vdi"}),
        ("PUT", "vm.remove-device", {"id": "nothing"}),
        ("PUT", "vm.remove-device", {"id": "medium1"}),
    ],
    "sizes": [
        CREATE,
        BOOT,
        ("PUT", "vm.resize", {"desired_vcpus": 2}),
        ("PUT", "vm.resize", {"desired_vcpus": 5}),
        ("PUT", "vm.resize", {"desired_ram": (256 + 64) << 20}),
        ("PUT", "vm.resize", {"desired_ram": (256 + 128) << 20}),
        ("PUT", "vm.resize", {"desired_balloon": 64 << 20}),
        ("GET", "vm.info", None),
    ],
    **{
        f"a boot that fails, {number}": [("PUT", "vm.create", each), BOOT, ("GET", "vm.info", None)]
        for number, each in enumerate(
            (
                _with(payload=None),
                _with(payload={"kernel": "missing"}),
                _with(cpus={"boot_vcpus": 2, "max_vcpus": 1}),
                _with(vsock={"cid": 2, "socket": "vsock.sock"}),
                _disk(path="missing.qcow2"),
                _disk(backing_files=False),
                _disk(num_queues=2),
            )
        )
    },
}


@contextmanager
def serving(program: str, kernel: Path) -> Iterator[Path]:
    """A process of that program, in a folder of its own with what conversations speak of."""
    with tempfile.TemporaryDirectory(prefix="chv-") as name:
        folder = Path(name)
        shutil.copyfile(kernel, folder / "vmlinuz")
        (folder / "saved").mkdir()
        create = ["qemu-img", "create", "-q", "-f"]
        for each in (["raw", "base.raw", "16M"], ["raw", "medium.raw", "16M"]):
            subprocess.run([*create, *each], cwd=folder, check=True)
        subprocess.run([*create, "qcow2", "-b", "base.raw", "-F", "raw", "layer.qcow2"], cwd=folder, check=True)
        args = [program, "--api-socket", "path=api.sock", "--event-monitor", "path=events.json"]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(args, cwd=folder, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            said = (folder / "log").read_text
            until(lambda: _listens(folder) or process.poll() is not None, why=said)
            assert process.poll() is None, said()
            yield folder
        finally:
            process.kill()
            process.wait()


def _listens(folder: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as stream:
        return stream.connect_ex(str(folder / "api.sock")) == 0


def answers(folder: Path, steps: list[Step]) -> list[JSON]:
    """What is answered to each step."""
    return [_answer(folder, *step) for step in steps]


def _answer(folder: Path, method: str, name: str, body: JSON | None) -> JSON:
    data = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} /api/v1/{name} HTTP/1.1", "Host: localhost"]
    lines += [f"Content-Length: {len(data)}", "Content-Type: application/json"] if body is not None else []
    request = "\r\n".join([*lines, "", ""]).encode() + data
    tap = _tap() if name == "vm.add-net" else None
    with socket.socket(socket.AF_UNIX) as stream:
        stream.settimeout(SECONDS)
        stream.connect(str(folder / "api.sock"))
        socket.send_fds(stream, [request], [] if tap is None else [tap])
        with HTTPResponse(stream, method=method) as response:
            response.begin()
            said = response.read()
            status = response.status
    if tap is not None:
        os.close(tap)
    return {"status": status, "told": _essence(json.loads(said) if said else None)}


def _tap() -> int:
    """A tap that is gone when it is closed; the kernel numbers them."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(descriptor, 0x400454CA, struct.pack("16sH22x", b"chv%d", 0x5002))
    return descriptor


def _essence(told: Any) -> Any:
    """Without what differs from one to the next: process ids, places in a text, slots, and all defaults."""
    if isinstance(told, list):
        return [re.sub(r" at line \d+ column \d+$", "", str(each)) for each in told]
    if not isinstance(told, dict):
        return told
    if "config" in told:
        config = told["config"]
        devices = {kind: [each.get("id") for each in config.get(kind) or []] for kind in ("disks", "net")}
        sizes = [config["cpus"]["boot_vcpus"], config["memory"]["size"]]
        return {"state": told["state"], "sizes": sizes, "devices": devices}
    if "pid" in told:
        return sorted(told)
    if "bdf" in told:
        return {"id": told["id"]}
    return {name: sorted(set(each) & {"read_bytes", "rx_bytes", "write_ops"}) for name, each in sorted(told.items())}


def kernel() -> Path | None:
    """One of the image store's."""
    store = settings.load().images
    for name in images.names(store):
        path = store / name / "vmlinuz"
        if path.exists():
            return path
    return None


def main() -> None:
    """Asks the real one, and keeps what it answers."""
    program, found = shutil.which("cloud-hypervisor"), kernel()
    if program is None or found is None:
        raise SystemExit("this takes cloud-hypervisor on PATH, and an image with a kernel: make image")
    recorded = {}
    for name, steps in CONVERSATIONS.items():
        with serving(program, found) as folder:
            recorded[name] = answers(folder, steps)
    RECORDED.write_text(json.dumps(recorded, indent=1) + "\n")


if __name__ == "__main__":
    main()
