"""Checks of mounts: the options of file systems that anyone may write to."""

from __future__ import annotations

from workers.scans.check import Family, Judge, ScanCheck
from workers.scans.controls import HARDENING

_FOR_EVERYONE = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108  # of the guest
_GATHER = "cat /proc/mounts"


def _has(folder: str, *wanted: str) -> Judge:
    def judge(text: str) -> list[str]:
        mounts = {fields[1]: fields[3].split(",") for line in text.splitlines() if len(fields := line.split()) > 3}
        if folder not in mounts:
            return [f"{folder} is not a separate file system"]
        lacking = [option for option in wanted if option not in mounts[folder]]
        return [f"{folder} lacks {', '.join(lacking)}"] if lacking else []

    return judge


def _check(folder: str, *options: str) -> ScanCheck:
    listed = ",".join(options)
    return ScanCheck(
        f"mounts{folder.replace('/', '-')}",
        f"{folder} is mounted without {listed}",
        "low",
        _GATHER,
        _has(folder, *options),
        f"Mount {folder} with {listed} (/etc/fstab, or systemd's unit of that name)",
        HARDENING,
    )


FAMILY = Family(
    name="mounts",
    category="configuration",
    checks=tuple(_check(folder, "nosuid", "nodev") for folder in _FOR_EVERYONE),
)
