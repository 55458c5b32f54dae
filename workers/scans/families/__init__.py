"""The checks, one module a family."""

from __future__ import annotations

from workers.scans.check import Family
from workers.scans.families import accounts, files, kernel, mounts, packages, protection, services, ssh

FAMILIES: tuple[Family, ...] = (
    ssh.FAMILY,
    accounts.FAMILY,
    kernel.FAMILY,
    services.FAMILY,
    protection.FAMILY,
    mounts.FAMILY,
    files.FAMILY,
    packages.FAMILY,
)


def chosen(scan_type: str, frameworks: tuple[str, ...]) -> list[Family]:
    """The families of a scan, each with those of its checks that belong to it."""
    if scan_type == "compliance":
        found = [family.only(lambda check: bool(set(check.controls) & set(frameworks))) for family in FAMILIES]
        return [family for family in found if family.checks]
    return [family for family in FAMILIES if family.category == scan_type]
