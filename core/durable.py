"""Small files that are complete or not there, whatever dies while they are written."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

SHARED = 0o666  # less the process's umask


def write(path: Path, content: str | bytes, *, mode: int = SHARED, lasting: bool = True) -> None:
    """Puts a whole file in the place of a former one. With `lasting` it outlives a power cut, too.

    Its draft is beside it, hidden, and another one's for each process. `OSError` leaves the former file, and no draft.
    """
    with writing(path, mode=mode, lasting=lasting) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def writing(path: Path, *, mode: int = SHARED, lasting: bool = True) -> Iterator[BinaryIO]:
    """The same of what is too long to be had at once: it is in its place once the block has ended without an error."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.new")
    draft.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            yield file
            if lasting:
                file.flush()
                os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    if lasting:
        sync_folder(path.parent)


def write_private(path: Path, content: str | bytes) -> None:
    """The same of what its owner alone may read."""
    write(path, content, mode=0o600)


def write_json(path: Path, data: dict[str, Any]) -> None:
    """The same of an object, for programs and for people."""
    write(path, json.dumps(data, indent=1, sort_keys=True))


def sync_folder(path: Path) -> None:
    """Makes renames, links and removals in a folder last; Windows sees to that itself."""
    if sys.platform == "win32":
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
