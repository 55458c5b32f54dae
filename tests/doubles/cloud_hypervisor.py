#!/usr/bin/env python3
"""Stands in for Cloud Hypervisor where there is none: its command line, its API and its states, and no guest.

It takes what the real one takes and refuses the rest in its words, which tests/cloud_hypervisor holds both to. The
guest that it does not have lets go of a device at once, and powers itself off when the button is pressed. What it is
sent and does not know, the real one ignores; here it is also written to `ignored.log`, beside the API's socket.
Standard library only.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
facts = importlib.import_module("cloud_hypervisor_facts")
machines = importlib.import_module("cloud_hypervisor_machine")
serving = importlib.import_module("cloud_hypervisor_serving")

VERSION = os.environ.get("DOUBLE_VERSION", "53.0.0")
FD_COUNT = 32
JSON = dict[str, Any]


class Api:
    """The HTTP of one process: one request after the other, whoever asks."""

    def __init__(self, events: Any, folder: Path) -> None:
        self.events, self.folder = events, folder
        self.machine = machine = machines.Machine(events)
        self._one = threading.Lock()
        self._puts: dict[str, tuple[str | None, Callable[[JSON], JSON | None]]] = {
            "vm.create": ("VmConfig", machine.create),
            "vm.boot": (None, machine.boot),
            "vm.pause": (None, machine.pause),
            "vm.resume": (None, machine.resume),
            "vm.shutdown": (None, machine.shutdown),
            "vm.delete": (None, machine.delete),
            "vm.power-button": (None, machine.power_button),
            "vm.resize": ("VmResize", machine.resize),
            "vm.add-disk": ("DiskConfig", machine.add_disk),
            "vm.add-net": ("NetConfig", machine.add_net),
            "vm.remove-device": ("VmRemoveDevice", machine.remove_device),
            "vm.snapshot": ("VmSnapshotConfig", machine.snapshot),
            "vm.restore": ("RestoreConfig", machine.restore),
            "vmm.shutdown": (None, self._end),
        }
        self._gets: dict[str, Callable[[JSON], JSON | None]] = {
            "vmm.ping": self._ping,
            "vm.info": machine.info,
            "vm.counters": machine.counters,
        }

    def answer(self, method: str, name: str, body: bytes | None, descriptors: list[int]) -> tuple[int, Any]:
        """The status, and what is told."""
        with self._one:
            self.machine.given = descriptors
            try:
                told = self._do(method, name, body, len(descriptors))
            except machines.Refused as refused:
                return refused.status, refused.reasons
            except OSError as error:
                return 500, ["Error from API", f"{name} failed", f"{error.strerror} (os error {error.errno})"]
            finally:
                for each in self.machine.given:
                    os.close(each)
            return (204, None) if told is None else (200, told)

    def _do(self, method: str, name: str, body: bytes | None, descriptors: int) -> JSON | None:
        if name not in self._puts and name not in self._gets:
            raise machines.Refused(404, "Not Found")
        if method == "GET" and name in self._gets:
            return self._gets[name]({})
        if method != "PUT" or name not in self._puts:
            raise machines.Refused(400, "Bad Request")
        kind, do = self._puts[name]
        if (kind is None) != (body is None):
            raise machines.Refused(400, "Bad Request")
        if kind is None:
            return do({})
        parsed = self._parsed(kind, body or b"")
        wanted = sum(each.get("num_fds", 0) for each in parsed.get("net_fds") or []) if name == "vm.restore" else None
        if wanted is not None and wanted != descriptors:
            raise machines.Refused(400, "Bad Request")
        return do(parsed)

    def _parsed(self, kind: str, body: bytes) -> JSON:
        ignored: list[str] = []
        try:
            parsed: JSON = json.loads(body)
            facts.check(kind, parsed, ignored)
        except ValueError:
            raise machines.Refused(400, "Failed to deserialize JSON", "expected value") from None
        except facts.Unfit as unfit:
            raise machines.Refused(400, "Failed to deserialize JSON", str(unfit)) from None
        if ignored:
            with (self.folder / "ignored.log").open("a") as log:
                log.write("".join(f"{each}\n" for each in ignored))
        return parsed

    def _ping(self, _: JSON) -> JSON:
        return {"build_version": f"v{VERSION}", "version": VERSION, "pid": os.getpid(), "features": ["kvm"]}

    def _end(self, _: JSON) -> JSON:
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM)).start()
        return {}

    def end(self) -> None:
        """As a process that is told to."""
        with self._one:
            self.machine.delete({})
            self.events.tell("vmm", "shutdown")


def _converse(api: Api, stream: socket.socket) -> None:
    with stream, contextlib.suppress(OSError, ValueError):
        data, descriptors = b"", list[int]()
        while b"\r\n\r\n" not in data:
            some, found, _, _ = socket.recv_fds(stream, 65536, FD_COUNT)
            descriptors += found
            if not some:
                return
            data += some
        head, _, rest = data.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", "0"))
        while len(rest) < length:
            rest += stream.recv(65536)
        method, path, _ = first.split(" ")
        status, told = api.answer(method, path.removeprefix("/api/v1/"), rest if length else None, descriptors)
        body = b"" if told is None else json.dumps(told).encode()
        more = "" if told is None else f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        reply = f"HTTP/1.1 {status} \r\nServer: Cloud Hypervisor API\r\nConnection: keep-alive\r\n{more}\r\n"
        stream.sendall(reply.encode() + body)
        stream.recv(1)


def _option(args: list[str], name: str) -> str | None:
    return args[args.index(name) + 1].removeprefix("path=") if name in args else None


def main(args: list[str]) -> None:
    """Serves the API until it is told to end; or boots a kernel that finds no disk, as the driver's trial does."""
    if "--version" in args:
        sys.stdout.write(f"cloud-hypervisor v{VERSION}\n")
        return
    path = _option(args, "--api-socket")
    if path is None:
        sys.stdout.write("Kernel panic - not syncing: VFS: Unable to mount root fs\n")
        sys.stdout.flush()
        signal.pause()
        return
    events = serving.Events(_option(args, "--event-monitor"))
    events.tell("vmm", "starting")
    api = Api(events, Path(path).parent)
    # The pid file is in the way of nobody; a socket that was left is.
    Path(path).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(16)
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(SystemExit(0)))
    try:
        serving.accept(listener, lambda stream: _converse(api, stream))
    finally:
        api.end()
        os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
