"""Removal of folders in which programs may still be working."""

from __future__ import annotations

import shutil
from pathlib import Path

from core.contract.errors import DriverFailure

_TIMES = 3


def remove(path: Path) -> None:
    """Remove a VM's folder; `DriverFailure` when it stays. The relay of its console may write its last meanwhile."""
    for _ in range(_TIMES):
        shutil.rmtree(path, ignore_errors=True)
        if not path.exists():
            return
    raise DriverFailure(f"{path} could not be removed")
