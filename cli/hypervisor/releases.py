"""The releases of hypervisors: the one place for their versions and checksums.

A sum that is empty was not to be had when this was written; then whoever installs has to give it.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urljoin

from core.contract.errors import Invalid


@dataclass(frozen=True)
class ReleaseFile:
    """A program for one kind of machine, and its SHA-256."""

    name: str
    sha256: str = ""


@dataclass(frozen=True)
class Release:
    """A project's own release; `home` is where its files are."""

    program: str
    version: str
    home: str
    files: Mapping[str, ReleaseFile]

    def file(self, machine: str | None = None) -> ReleaseFile:
        """For this machine, or one of that kind; `Invalid` names those there are."""
        machine = machine or platform.machine()
        try:
            return self.files[machine]
        except KeyError:
            known = ", ".join(self.files)
            raise Invalid(
                f"{self.program} {self.version} is released for {known}, and this machine is {machine}"
            ) from None

    def url(self, file: ReleaseFile, mirror: str | None) -> str:
        """Where it is, or would be on a mirror that has the same files."""
        return urljoin((mirror or self.home).rstrip("/") + "/", file.name)


RELEASES = {
    "cloud-hypervisor": Release(
        program="cloud-hypervisor",
        version="53.0",
        home="https://github.com/cloud-hypervisor/cloud-hypervisor/releases/download/v53.0/",
        files={
            "x86_64": ReleaseFile("cloud-hypervisor-static"),
            "aarch64": ReleaseFile("cloud-hypervisor-static-aarch64"),
        },
    )
}
