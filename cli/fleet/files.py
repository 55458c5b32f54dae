"""Small files of the home, written whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path


def write_private(path: Path, text: str) -> None:
    """`text` into a file that its owner alone may read, in one rename."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)


def kept_secret(path: Path) -> str:
    """The secret in that file, made at random the first time."""
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        secret = secrets.token_urlsafe(24)
        write_private(path, secret + "\n")
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
