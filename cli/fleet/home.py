"""The folder of a fleet, which one supervisor at a time may use."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cli.fleet.processes import StartFailed


@contextmanager
def taken(home: Path) -> Iterator[None]:
    """Makes it, and holds it; `StartFailed` when another supervisor does."""
    if not home.exists():
        home.mkdir(parents=True)
        home.chmod(0o711)  # others may pass (PostgreSQL's user must), and see nothing
    with (home / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise StartFailed(
                f"a fleet runs in {home} already (process {file.read().strip()}): stop it, or set CORRAL_HOME to "
                "another folder, CORRAL_PORT and CORRAL_FLOWER_PORT to other ports"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def holder(home: Path) -> str:
    """The process that runs a fleet there; "" when none does."""
    try:
        with (home / "lock").open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return (home / "lock").read_text().strip()
    except OSError:  # no fleet was ever there, or it is another user's
        pass
    return ""
