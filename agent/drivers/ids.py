"""Ids of VMs and snapshots, which become names of folders and files on the host."""

from __future__ import annotations

import re

from core.contract.errors import DriverFailure

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,100}")


def is_one(name: str) -> bool:
    """Whether a file or folder of that name may be an id's."""
    return bool(_ID.fullmatch(name))


def checked(noun: str, name: str) -> str:
    """The id of a VM or snapshot (`noun`); `DriverFailure` when no file may be called so."""
    if not is_one(name):
        raise DriverFailure(f"'{name}' is not a valid {noun} id", code="invalid_request")
    return name
