"""Whether KVM really runs a Linux guest on this host, found by booting one.

A `/dev/kvm` that opens, answers and runs firmware may still hang an ordinary kernel early in its boot. So a kernel is
booted without a root disk, up to its panic that there is none, which is the end of its own start. Each program makes
the trial once for each start of the host and kernel.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from core import durable
from core.contract import images
from core.contract.errors import CorralError

DEVICE = Path("/dev/kvm")
LAST_WORDS = "not syncing"
CMDLINE = "console=ttyS0 panic=-1"

Boots = Callable[[Path], bool]
"""Whether a kernel gets to its last words."""


def passed(hypervisor: str, program: Path, store: Path, boots: Boots) -> bool | None:
    """None without a kernel to try, of an image of the store or the host's own."""
    kernel = _kernel(store)
    if kernel is None:
        return None
    key = [_boot_id(), str(program), program.stat().st_mtime_ns, _digest(kernel)]
    known = _remembered(hypervisor)
    if known.get("key") != key:
        known = {"key": key, "passed": boots(kernel)}
        _remember(hypervisor, known)
    return bool(known["passed"])


def _kernel(store: Path) -> Path | None:
    for name in images.names(store):
        try:
            manifest = images.read(store, name)
        except CorralError:
            continue
        if manifest.kernel is not None and (file := store / name / manifest.kernel.name).exists():
            return file
    own = Path("/boot") / f"vmlinuz-{os.uname().release}"
    return own if os.access(own, os.R_OK) else None


def _digest(kernel: Path) -> str:
    with kernel.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _cache(hypervisor: str) -> Path:
    home = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return home / "corral" / f"kvm-{hypervisor}.json"


def _remembered(hypervisor: str) -> dict[str, object]:
    try:
        known = json.loads(_cache(hypervisor).read_text())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _remember(hypervisor: str, known: dict[str, object]) -> None:
    path = _cache(hypervisor)
    with suppress(OSError):  # the next one tries again
        path.parent.mkdir(parents=True, exist_ok=True)
        durable.write(path, json.dumps(known), lasting=False)
