"""The machine of Cloud Hypervisor's double: its states, and the words in which it refuses. Standard library only."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.doubles.cloud_hypervisor_devices import Devices, Refused
else:
    devices = importlib.import_module("cloud_hypervisor_devices")
    Devices, Refused = devices.Devices, devices.Refused

serving = importlib.import_module("cloud_hypervisor_serving")

BLOCK = 128 << 20
JSON = dict[str, Any]


class Machine(Devices):
    """The one that a process has. `state`: Created, Running, Paused; None: there is none."""

    def __init__(self, events: Any) -> None:
        super().__init__(events)
        self.sockets: list[socket.socket] = []

    def create(self, body: JSON) -> None:
        what = "The VM could not be created"
        if self.config is not None:
            raise Refused(500, "Error from API", what, "VM is already created")
        self.config = {"cpus": {"boot_vcpus": 1, "max_vcpus": 1}, "memory": {"size": 512 << 20}, **body}
        self.state = "Created"
        self._listen()

    def boot(self, _: JSON) -> None:
        what = "The VM could not boot"
        if self.config is None:
            raise Refused(404, "Error from API", what, "VM config is missing")
        if self.state != "Created":
            raise Refused(500, "Error from API", what, "VM is already created")
        self.events.tell("vm", "booting")
        self._validate(what)
        try:
            for disk in self.config.get("disks") or []:
                self._open_disk(disk, what)
        except Refused:
            self.config["disks"] = []  # the real one forgets them, and boots without any when it is asked again
            raise
        payload = self.config["payload"]
        for name, reason in (("kernel", "Cannot open kernel file"), ("initramfs", "Cannot open initramfs file")):
            if name in payload and not Path(payload[name]).exists():
                raise Refused(500, "Error from API", what, reason, "No such file or directory (os error 2)")
        self._is_on("Running")
        self.events.tell("vm", "booted")

    def pause(self, _: JSON) -> None:
        self._must_run("The VM could not be paused")
        self.events.tell("vm", "pausing")
        if self.state == "Paused":
            raise self._no_transition("paused", "pause", "Paused")
        self.state = "Paused"
        self.events.tell("vm", "paused")

    def resume(self, _: JSON) -> None:
        self._must_run("The VM could not resume")
        self.events.tell("vm", "resuming")
        if self.state == "Running":
            raise self._no_transition("resume", "resume", "Running")
        self.state = "Running"
        self.events.tell("vm", "resumed")

    def shutdown(self, _: JSON) -> None:
        self._must_run("The VM could not shutdown")
        self._off()

    def delete(self, _: JSON) -> None:
        if self.config is not None:
            if self.state in ("Running", "Paused"):
                self._off()
            self.config, self.state = None, None
            self._close()
            self.events.tell("vm", "deleted")

    def power_button(self, _: JSON) -> None:
        self._must_run("Error triggering power button")
        if self.state == "Running":
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()

    def info(self, _: JSON) -> JSON:
        if self.config is None:
            raise Refused(404, "Error from API", "The VM info is not available", "VM is not created")
        size = self.config["memory"]["size"]
        return {"config": self.config, "state": self.state, "memory_actual_size": size}

    def counters(self, _: JSON) -> JSON:
        self._must_run("The VM info is not available")
        disk = dict.fromkeys(("read_bytes", "write_bytes", "read_ops", "write_ops"), 0)
        net = dict.fromkeys(("rx_bytes", "tx_bytes", "rx_frames", "tx_frames"), 0)
        return {each["id"]: dict(disk) for each in self._devices("disks")} | {
            each["id"]: dict(net) for each in self._devices("net")
        }

    def resize(self, body: JSON) -> None:
        what = "The VM could not be resized"
        if self.config is None:
            raise Refused(404, "Error from API", what, "VM is not created")
        if self.state != "Created":
            self.events.tell("vm", "resizing")
            self._resize_live(body, what)
            self.events.tell("vm", "resized")
        cpus, memory = self.config["cpus"], self.config["memory"]
        cpus["boot_vcpus"] = body.get("desired_vcpus") or cpus["boot_vcpus"]
        memory["size"] = body.get("desired_ram") or memory["size"]
        if "desired_balloon" in body and self.config.get("balloon"):
            self.config["balloon"] = {**self.config["balloon"], "size": body["desired_balloon"]}

    def _resize_live(self, body: JSON, what: str) -> None:
        config = self.config or {}
        if (body.get("desired_vcpus") or 1) > config["cpus"]["max_vcpus"]:
            raise Refused(500, "Error from API", what, "Error from CPU manager", "Requested vCPUs exceed maximum")
        more = (body.get("desired_ram") or 0) - config["memory"]["size"]
        if more > 0 and more % BLOCK:
            reason = "The requested hotplug memory addition is not a valid size"
            raise Refused(500, "Error from API", what, "Memory manager error", reason)

    def snapshot(self, body: JSON) -> None:
        what = "The VM could not be snapshotted"
        self._must_run(what)
        self.events.tell("vm", "snapshotting")
        if self.state == "Running":
            failed = "Failed to snapshot migratable component"
            reason = "Trying to snapshot while VM is running"
            raise Refused(500, "Error from API", what, "Cannot snapshot VM", failed, reason)
        into = self._folder(body["destination_url"], what, "Cannot send VM snapshot")
        (into / "config.json").write_text(json.dumps(self.config))
        (into / "state.json").write_text(json.dumps({"double": True}))
        with (into / "memory-ranges").open("wb") as file:
            file.write(os.urandom(4096))
            file.truncate((self.config or {})["memory"]["size"])
        self.events.tell("vm", "snapshotted")

    def restore(self, body: JSON) -> None:
        what = "The VM could not be restored"
        if self.config is not None:
            raise Refused(500, "Error from API", what, "VM is already created")
        source = self._folder(body["source_url"], what, "Cannot restore VM")
        path = source / "config.json"
        try:
            self.config = json.loads(path.read_text())
        except OSError:
            failed = "Failed to receive migratable component snapshot"
            opening = f'Error opening VM config snapshot file "{path}"'
            reason = "No such file or directory (os error 2)"
            raise Refused(500, "Error from API", what, "Cannot restore VM", failed, opening, reason) from None
        try:
            self._restored(body, what)
        except Refused:
            self.config = None
            raise
        self._listen()
        self.events.tell("vm", "restoring")
        self._is_on("Paused")
        self.events.tell("vm", "restored")
        if body.get("resume"):
            self.resume({})

    def _restored(self, body: JSON, what: str) -> None:
        given = {each["id"] for each in body.get("net_fds") or []}
        for each in self._devices("net"):
            if each["id"] not in given:
                reason = f"Net id {each['id']} is associated with FDs and is required"
                raise Refused(500, "Error from API", what, "Failed to validate config", reason)
        for disk in self._devices("disks"):
            self._open_disk(disk, what)
        for each in body.get("net_fds") or []:
            self.taps[each["id"]] = [self.given.pop(0) for _ in range(each.get("num_fds", 0))]

    def _folder(self, url: str, what: str, step: str) -> Path:
        folder = Path(url.removeprefix("file://"))
        if not url.startswith("file://") or not folder.is_dir():
            failed = "Failed to send migratable component snapshot"
            raise Refused(500, "Error from API", what, step, failed, f'Destination is not a directory: "{folder}"')
        return folder

    def _validate(self, what: str) -> None:
        config, reason = self.config or {}, ""
        payload, cpus = config.get("payload") or {}, config["cpus"]
        if not payload.get("kernel") and not payload.get("firmware"):
            wrong = "No bootitem provided: neither firmware nor kernel"
            raise self._invalid(what, "Payload configuration is not bootable", wrong)
        if cpus["max_vcpus"] < cpus["boot_vcpus"]:
            reason = f"Max CPUs ({cpus['max_vcpus']}) lower than boot CPUs ({cpus['boot_vcpus']})"
        for disk in config.get("disks") or []:
            if disk.get("num_queues", 1) > cpus["boot_vcpus"]:
                reason = f"Queue count ({disk['num_queues']}) must not exceed boot vCPUs ({cpus['boot_vcpus']})"
        vsock = config.get("vsock")
        if vsock and vsock["cid"] < 3:
            reason = f"{vsock['cid']} is a special VSOCK CID"
        if reason:
            raise self._invalid(what, reason)

    @staticmethod
    def _invalid(what: str, *reasons: str) -> Refused:
        return Refused(500, "Error from API", what, "Failed to validate config", *reasons)

    def _must_run(self, what: str) -> None:
        if self.state not in ("Running", "Paused"):
            raise Refused(500, "Error from API", what, "VM is not running")

    def _no_transition(self, done: str, verb: str, state: str) -> Refused:
        what = {"pause": "The VM could not be paused", "resume": "The VM could not resume"}[verb]
        failed = f"Failed to {verb} migratable component"
        reason = f"Invalid transition: InvalidStateTransition({state}, {state})"
        return Refused(500, "Error from API", what, f"Cannot {verb} VM", failed, reason)

    def _is_on(self, state: str) -> None:
        self.state = state
        vsock = (self.config or {}).get("vsock")
        if vsock:
            self._serve(vsock["socket"], serving.nobody)

    def _listen(self) -> None:
        """What is made with the machine's description: its serial port."""
        serial = (self.config or {}).get("serial") or {}
        if serial.get("mode") == "Socket":
            Path(serial["socket"]).unlink(missing_ok=True)
            self._serve(serial["socket"], serving.echo)

    def _serve(self, path: str, serve: Callable[[socket.socket], None]) -> None:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(4)
        self.sockets.append(listener)
        threading.Thread(target=serving.accept, args=(listener, serve), daemon=True).start()

    def _off(self) -> None:
        self.state = "Created"
        self._close()
        self.events.tell("vm", "shutdown")

    def _close(self) -> None:
        while self.sockets:
            listener = self.sockets.pop()
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
