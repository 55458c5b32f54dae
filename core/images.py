"""What is in an image store: adding, listing and removing, each whole or not at all."""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from core.contract.errors import Conflict, Invalid, NotFound
from core.contract.images import MANIFEST, NAME, ImageFile, Manifest, names, read

GB = 1 << 30
OS_TYPES = ("linux", "windows")
FORMATS = ("qcow2", "raw")
QEMU_IMG_SECONDS = 30
CHUNK = 1 << 20


def described(path: Path) -> ImageFile:
    """Name, SHA-256 and size of a file, as a manifest has them."""
    with path.open("rb") as file:
        return ImageFile(path.name, hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size)


@contextmanager
def locked(store: Path, name: str, say: Callable[[str], None] = lambda _: None) -> Iterator[None]:
    """One writer at a time for an image, in any process."""
    with (store / f".{name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another process is at work on {name}: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def staging(store: Path) -> Iterator[Path]:
    """A folder in the store that is gone afterwards."""
    path = Path(tempfile.mkdtemp(prefix=".new-", dir=store))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def publish(store: Path, folder: Path, manifest: Manifest) -> None:
    """Make `folder` the image of the manifest's name, in one step; one of that name before it is removed."""
    (folder / MANIFEST).write_text(json.dumps(asdict(manifest), indent=2, sort_keys=True) + "\n")
    folder.chmod(0o755)
    place = store / manifest.name
    if place.exists():
        os.rename(place, folder.with_name("replaced"))
    os.rename(folder, place)
