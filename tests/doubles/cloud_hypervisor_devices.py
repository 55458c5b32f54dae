"""The disks and adapters of the machine of Cloud Hypervisor's double. Standard library only."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

JSON = dict[str, Any]


class Refused(Exception):
    """An answer that is an error: its HTTP status, and the reasons from what was asked down to what went wrong."""

    def __init__(self, status: int, *reasons: str) -> None:
        super().__init__(*reasons)
        self.status, self.reasons = status, list(reasons)


class Devices:
    """Those of the machine that a process has, whose description and state are its heir's."""

    def __init__(self, events: Any) -> None:
        self.events = events
        self.config: JSON | None = None
        self.state: str | None = None
        self.next_slot = 2
        self.given: list[int] = []  # open files that came with the request
        self.taps: dict[str, list[int]] = {}

    def add_disk(self, body: JSON) -> JSON | None:
        what = "The disk could not be added to the VM"
        self._must_be_unique(body, what)
        if self.state != "Created":
            self._open_disk(body, what, "Error from device manager")
        return self._added("disks", body)

    def add_net(self, body: JSON) -> JSON | None:
        self._must_be_unique(body, "The network device could not be added to the VM")
        self.taps[body["id"]], self.given = self.given, []
        return self._added("net", body)

    def remove_device(self, body: JSON) -> None:
        what, name = "The device could not be removed from the VM", body["id"]
        if not any(each.get("id") == name for kind in ("disks", "net") for each in self._devices(kind)):
            if self.state in ("Running", "Paused"):
                reason = f"Failed to find device corresponding to the given identifier: {name}"
                raise Refused(500, "Error from API", what, "Error from device manager", reason)
            raise Refused(500, "Error from API", what, f'No device with id "{name}" to remove')
        for kind in ("disks", "net"):
            self._put(kind, [each for each in self._devices(kind) if each.get("id") != name])
        for each in self.taps.pop(name, []):
            os.close(each)
        if self.state in ("Running", "Paused"):
            self.events.tell("vm", "device-removed", id=name, bdf="0000:00:08.0")

    @staticmethod
    def _open_disk(disk: JSON, what: str, *steps: str) -> None:
        path = Path(disk["path"])
        steps = steps or ("Error from device manager",)
        opening = "Cannot open disk path"
        if not path.exists():
            reason = "No such file or directory (os error 2)"
            raise Refused(500, "Error from API", what, *steps, opening, f"I/O error (path={path} op=open)", reason)
        with path.open("rb") as file:
            head = file.read(20)
        layered = head[:4] == b"QFI\xfb" and head[8:16] != bytes(8)
        if disk.get("image_type") == "Qcow2" and layered and not disk.get("backing_files"):
            reason = "Maximum disk nesting depth exceeded"
            failed = f"Unsupported feature (path={path} op=open)"
            raise Refused(500, "Error from API", what, *steps, opening, failed, reason)

    def _must_be_unique(self, body: JSON, what: str) -> None:
        if self.config is None:
            raise Refused(404, "Error from API", what, "VM is not created")
        names = {each.get("id") for kind in ("disks", "net") for each in self._devices(kind)}
        if body.get("id") in names:
            raise Refused(
                500, "Error from API", what, "Failed to validate config", f"Identifier {body['id']} is not unique"
            )

    def _added(self, kind: str, body: JSON) -> JSON | None:
        self._put(kind, [*self._devices(kind), body])
        if self.state == "Created":
            return None
        self.next_slot += 1
        return {"id": body.get("id"), "bdf": f"0000:00:{self.next_slot:02x}.0"}

    def _devices(self, kind: str) -> list[JSON]:
        return list((self.config or {}).get(kind) or [])

    def _put(self, kind: str, devices: list[JSON]) -> None:
        (self.config or {})[kind] = devices
