"""A host without images, and what it and its fleet say of those that it gets."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path

from cli.fleet.fleet import Fleet
from core import images
from core.contract import joining
from core.contract.images import ImageManifest
from corral import Client, NotFound
from tests.disks import BOOT_SECTOR, kernel
from tests.support.contents import noise
from tests.support.machines import Machine
from tests.support.waiting import until

MB = 1 << 20


class Cold:
    """Its machine, and the fleet's images."""

    def __init__(self, fleet: Fleet, client: Client, folder: Path, name: str, hypervisor: str = "fake") -> None:
        self.fleet, self.client, self.folder, self.name, self.hypervisor = fleet, client, folder, name, hypervisor
        self.machine: Machine | None = None
        self.agent: subprocess.Popen[bytes] | None = None

    def add_image(self, size_mb: int, name: str = "") -> ImageManifest:
        """A new image of the fleet, named for this host if not so: a disk of that size, a kernel and an initrd."""
        files = {"disk": BOOT_SECTOR + noise(size_mb * MB - 512, size_mb), "kernel": kernel(), "initrd": noise(5000)}
        for file, content in files.items():
            (self.folder / file).write_bytes(content)
        paths = {file: self.folder / file for file in files}
        return images.add(self.fleet.plan.images, name or f"of-{self.name}", **paths)  # type: ignore[arg-type]

    def join(self, *options: str, api: str = "", mb_per_second: int = 0) -> None:
        """The machine becomes a host, by the API at that address, and its agent runs."""
        rate = {"CORRAL_PULL_MB_PER_SECOND": str(mb_per_second)}
        self.machine = Machine(self.folder, self.folder / "none", self.hypervisor, **rate)
        token = joining.read(str(self.client.join_tokens.create(self.name)["token"]))
        self.machine.join(joining.written(replace(token, url=api or token.url)))
        self.start(*options)

    def start(self, *options: str) -> None:
        """The agent, until it is known to be there."""
        assert self.machine is not None
        self.agent = self.machine.serve("--vcpus=100", "--memory-mb=100000", "--disk-gb=1000", *options)
        until(self._is_told, why=self.machine.said)

    def kill(self) -> None:
        """As a power cut would."""
        assert self.agent is not None
        self.agent.kill()
        self.agent.wait()

    def _is_told(self) -> bool:
        try:
            host = self.client.hosts.get(self.name)
        except NotFound:
            return False
        return bool(host["facts"]["pulls_images"] and host["hypervisors"][0]["healthy"])

    @property
    def pulled(self) -> Path:
        """Where it keeps what it gets."""
        assert self.machine is not None
        return self.machine.home / "hosts" / self.name / "pulled"

    def parts(self) -> int:
        """How many bytes have come of what is not whole."""
        return sum(path.stat().st_size for path in self.pulled.glob("blobs/*.part"))

    def has(self, image: ImageManifest) -> bool:
        """Whether all of its files are there, by their content."""
        found = [images.described(self.pulled / "blobs" / file.sha256) for file in image.files]
        return [(each.sha256, each.size_bytes) for each in found] == [
            (file.sha256, file.size_bytes) for file in image.files
        ]

    def answers(self, image: ImageManifest) -> list[int]:
        """The statuses with which the API has answered for its disk so far."""
        log = (self.fleet.home / "logs" / "api.log").read_text()
        path = re.escape(f"'/api/v1/image-contents/{image.digest}/{image.disk.sha256}'")
        return [int(status) for status in re.findall(rf"GET {path} (\d+)", log)]

    def close(self) -> None:
        """It is none of the fleet's any more."""
        if self.machine is not None:
            self.machine.close()
        try:
            self.client.hosts.remove(self.name, force=True)
        except NotFound:
            pass  # it has never been one
        for vm in list(self.client.vms.list()):
            if vm.host == self.name:
                self.client.vms.delete(vm.id)
