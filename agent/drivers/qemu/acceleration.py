"""Whether KVM really runs a Linux guest on this host, found by booting one.

A `/dev/kvm` that opens, answers and runs firmware may still hang an ordinary kernel early in its boot. So a kernel is
booted without a root disk, up to its panic that there is none, which is the end of its own start.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from agent import process
from agent.drivers.qemu.command import PROGRAM
from core import settings
from core.contract import images
from core.contract.errors import CorralError, DriverFailure

DEVICE = Path("/dev/kvm")
LAST_WORDS = "not syncing"


def version() -> str:
    """QEMU's, like "7.2.22"; `process.MissingProgram` without one."""
    return process.run([PROGRAM, "--version"], 10.0).split("version", 1)[1].split()[0]


def choose(store: Path, qemu: str) -> str:
    """ "kvm" or "tcg". The trial is made once for each start of the host, QEMU and kernel."""
    if not os.access(DEVICE, os.R_OK | os.W_OK):
        return "tcg"
    kernel = _kernel(store)
    if kernel is None:
        return "tcg"
    key = [_boot_id(), qemu, _digest(kernel)]
    known = _remembered()
    if known.get("key") != key:
        known = {"key": key, "acceleration": "kvm" if _boots(kernel) else "tcg"}
        _remember(known)
    return str(known["acceleration"])


def _boots(kernel: Path) -> bool:
    machine = ["-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35", "-m", "256"]
    guest = ["-serial", "stdio", "-no-reboot", "-kernel", str(kernel), "-append", "console=ttyS0 panic=-1"]
    seconds = settings.load().kvm_trial_seconds
    try:
        said = process.run([PROGRAM, *machine, "-accel", "kvm", "-cpu", "max", *guest], seconds)
    except DriverFailure:
        return False
    return LAST_WORDS in said


def _kernel(store: Path) -> Path | None:
    """One of the images', or the host's own."""
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


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "corral" / "acceleration.json"


def _remembered() -> dict[str, object]:
    try:
        known = json.loads(_cache().read_text())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _remember(known: dict[str, object]) -> None:
    draft = _cache().with_name(f"acceleration.{os.getpid()}.new")
    try:
        draft.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps(known))
        draft.replace(_cache())
    except OSError:
        pass  # the next one tries again
