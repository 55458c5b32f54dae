"""The files of `corral install`, and how they are put in place."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import deploy
from core.durable import write_private

SOURCE = deploy.FOLDER / "systemd"
UNITS, USERS, SETTINGS = Path("etc/systemd/system"), Path("etc/sysusers.d"), Path("etc/corral")
_SHIPPED_PREFIX, _SECRET = "/opt/corral/", "@SECRET@"  # what stands for one
# Of which the units' ProtectHome and PrivateTmp show nothing.
HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108
ROLES = {
    "control": ("corral-api.service", "corral-worker.service", "corral-flower.service", "corral.sysusers"),
    "agent": ("corral-vms.service", "corral-agent.service"),
}


@dataclass(frozen=True)
class UnitFile:
    """One to put at `path`; `kept`: with settings of the operator's, and secrets, so what is there stays."""

    path: Path
    text: str
    kept: bool = False


def files(role: str, root: Path, prefix: Path) -> Iterator[UnitFile]:
    """All of a role's, below `root`. `prefix`: the virtual environment that Corral is installed in."""
    for name in ROLES[role]:
        text = (SOURCE / name).read_text().replace(_SHIPPED_PREFIX, f"{prefix}/")
        users = name.endswith(".sysusers")
        yield UnitFile(root / (USERS / "corral.conf" if users else UNITS / name), text)
    name = f"{role}.env"
    text = re.sub(_SECRET, lambda _: secrets.token_urlsafe(24), (SOURCE / name).read_text())
    yield UnitFile(root / SETTINGS / name, text, kept=True)


def put(file: UnitFile, *, dry_run: bool) -> str:
    """Writes it, whole, unless it is there; what was done, in a word: "new", "changed", "same" or "kept"."""
    there = file.path.read_text() if file.path.exists() else None
    if there is not None and (file.kept or there == file.text):
        return "kept" if file.kept else "same"
    if not dry_run:
        file.path.parent.mkdir(parents=True, exist_ok=True)
        write_private(file.path, file.text)
        if not file.kept:
            file.path.chmod(0o644)
    return "new" if there is None else "changed"


def refusal(root: Path, prefix: Path) -> str:
    """Why it can't be; "" when it can."""
    if any(prefix.is_relative_to(folder) for folder in HIDDEN):
        return (
            f"Corral is installed in {prefix}, where a service may not look: install the wheel into a virtual "
            "environment such as /opt/corral (python3 -m venv /opt/corral), and run /opt/corral/bin/corral install"
        )
    if root != Path("/"):
        return ""
    if not Path("/run/systemd/system").is_dir():
        return "this machine is not run by systemd: --root DIR puts the files below another folder"
    if os.geteuid() != 0:
        return f"only root may write to /{UNITS}: sudo {prefix}/bin/corral install"
    return ""
