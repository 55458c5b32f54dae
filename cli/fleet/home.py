"""The folder of a fleet, which one supervisor at a time may use."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cli.fleet.processes import StartFailed
from core import filelocks


@contextmanager
def taken(home: Path) -> Iterator[None]:
    """Makes it, and holds it; `StartFailed` when another supervisor does."""
    if not home.exists():
        home.mkdir(parents=True)
        home.chmod(0o711)  # others may pass (PostgreSQL's user must), and see nothing
    file = home / "lock"
    try:
        lock = filelocks.take(file, mode=0o644)
    except BlockingIOError:
        raise StartFailed(
            f"a fleet runs in {home} already (process {file.read_text().strip()}): stop it, or set CORRAL_HOME to "
            "another folder, CORRAL_PORT and CORRAL_FLOWER_PORT to other ports"
        ) from None
    try:
        file.write_text(f"{os.getpid()}\n")
        yield
    finally:
        os.close(lock)


def holder(home: Path) -> str:
    """The process that runs a fleet there; "" when none does."""
    try:
        return (home / "lock").read_text().strip() if filelocks.is_held(home / "lock") else ""
    except PermissionError:  # it is another user's
        return ""


def environment(home: Path) -> dict[str, str]:
    """The settings that the fleet there was started with last; none where none ever was."""
    try:
        text = (home / "environment").read_text()
    except OSError:
        return {}
    return dict(word.partition("=")[::2] for word in shlex.split(text))
