"""Secrets and logs of the home."""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path

from core import durable


def private_folder(path: Path) -> None:
    """Made for its owner alone, unless it is there: others may pass the home, or even list one that was made before."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)


def kept_secret(path: Path) -> str:
    """The secret in that file, made at random the first time."""
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        secret = secrets.token_urlsafe(24)
        durable.write_private(path, secret + "\n")
        return secret


def tail(path: Path, lines: int = 40) -> str:
    """The last lines of a log, indented, to show why something ended."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 20_000))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(f"    {line}" for line in text.splitlines()[-lines:])


def set_aside(log: Path) -> None:
    """Begins a log anew; the former one stays beside it, and the one before that goes."""
    if log.exists():
        log.replace(log.with_name(log.name + ".1"))


def cut(log: Path, limit: int) -> None:
    """Empties a log that has outgrown `limit` bytes, keeping a copy. Its writers append, so they go on at its start."""
    try:
        if log.stat().st_size <= limit:
            return
    except FileNotFoundError:
        return
    shutil.copyfile(log, log.with_name(log.name + ".1"))
    os.truncate(log, 0)
