"""Image stores: images are added, listed and removed, each completely or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from core import diskfiles, filelocks
from core.contract.errors import Conflict, CorralError, Invalid, NotFound
from core.contract.images import MANIFEST, NAME, ImageFile, ImageManifest, names, read
from core.units import GB

OS_TYPES = ("linux", "windows")
MAX_TEXT = 2000
STORE = "store"
STAGING, UPLOAD = ".new-", ".upload-"

logger = logging.getLogger(__name__)


def add(  # noqa: PLR0913 - what an image is made of, each by name
    store: Path,
    name: str,
    disk: Path,
    *,
    kernel: Path | None = None,
    initrd: Path | None = None,
    cmdline: str = "",
    os_type: str = "linux",
    guest_agent: bool = False,
    description: str = "",
    move: bool = False,
) -> ImageManifest:
    """Take a qcow2 or raw disk, and a kernel with it if there is one, into the store under a new name.

    `move`: the disk may be renamed into the store; otherwise it stays where it is and is copied.
    Errors: `Invalid` for a name, a text or a file that won't do, `Conflict` (image_exists) for a name that is taken.
    """
    _check(name, kernel, initrd, cmdline, os_type, description)
    store.mkdir(parents=True, exist_ok=True)
    _refuse_taken(store, name)
    with _room(), staging(store) as work:
        folder = work / "image"
        folder.mkdir()
        copy = folder / "disk"
        # What is looked at is our own copy: nobody can change it between the look and the use.
        disk_sha256 = diskfiles.take(disk, copy, move=move)
        found = diskfiles.inspect(copy, boots=kernel is None)
        copy = copy.rename(folder / f"disk.{found.format}")
        manifest = ImageManifest(
            name=name,
            os_type=os_type,
            format=found.format,
            disk=ImageFile(copy.name, disk_sha256, copy.stat().st_size),
            disk_size_gb=-(-found.size_bytes // GB),
            kernel=_kernel(kernel, folder / "vmlinuz"),
            initrd=_taken(initrd, folder / "initrd"),
            cmdline=cmdline,
            guest_agent=guest_agent,
            description=description,
        )
        with locked(store, STORE):
            _refuse_taken(store, name)
            publish(store, folder, manifest)
    return manifest


def remove(store: Path, name: str) -> None:
    """Forget an image, whole or broken; VMs made from it keep what they have linked. `NotFound` if it isn't there."""
    if not NAME.fullmatch(name) or not (store / name).is_dir():
        raise NotFound(f"image '{name}' not found", code="image_not_found")
    with staging(store) as work, locked(store, STORE):
        try:
            (store / name).rename(work / "removed")
        except FileNotFoundError:
            raise NotFound(f"image '{name}' not found", code="image_not_found") from None


def list_all(store: Path) -> list[ImageManifest]:
    """Every image that can be read, by name; one that can't is logged and left out."""
    found = []
    for name in names(store):
        try:
            found.append(read(store, name))
        except CorralError as error:
            logger.warning("left out of the list: %s", error)
    return found


def get(store: Path, name: str) -> ImageManifest:
    """The image of that name; `NotFound` if it isn't there, or can't be read."""
    for manifest in list_all(store):
        if manifest.name == name:
            return manifest
    raise NotFound(f"image '{name}' not found", code="image_not_found")


def publish(store: Path, folder: Path, manifest: ImageManifest) -> None:
    """Make `folder`, inside a `staging` of the store, the image of the manifest's name, in place of one before it.

    The caller holds the store's lock. VMs keep hard links to the files of the one before, or have copied them.
    """
    (folder / MANIFEST).write_text(json.dumps(asdict(manifest), indent=2, sort_keys=True) + "\n")
    for path in folder.iterdir():
        path.chmod(0o644)
        _sync(path)
    folder.chmod(0o755)
    _sync(folder)
    place = store / manifest.name
    if place.exists():
        place.rename(folder.with_name("replaced"))
    folder.rename(place)
    _sync(store)


def described(path: Path) -> ImageFile:
    """Name, SHA-256 and size of a file, as a manifest has them."""
    with path.open("rb") as file:
        return ImageFile(path.name, hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size)


@contextmanager
def locked(store: Path, what: str, say: Callable[[str], None] = lambda _: None) -> Iterator[None]:
    """One process at a time does `what` in this store; `say` hears if another does it now."""
    file = store / f".{what}.lock"
    if filelocks.is_held(file):
        say(f"waiting for another process that holds {file}")
    with filelocks.locked(file):
        yield


@contextmanager
def staging(store: Path) -> Iterator[Path]:
    """A folder in the store that is gone afterwards; what killed processes have left there goes too."""
    with locked(store, "staging"):
        _sweep(store)
        work = Path(tempfile.mkdtemp(prefix=STAGING, dir=store))
        mine = filelocks.take(work, flags=os.O_DIRECTORY)
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
        os.close(mine)


@contextmanager
def uploading(store: Path) -> Iterator[None]:
    """While a file of an upload is made and locked; what killed processes have left there goes."""
    store.mkdir(parents=True, exist_ok=True)
    with locked(store, "staging"):
        _sweep(store)
        yield


def sweep(store: Path) -> None:
    """Removes what processes have left in a store that were killed while they uploaded or added an image."""
    if store.is_dir():
        with locked(store, "staging"):
            _sweep(store)


def _sweep(store: Path) -> None:
    for path in (*store.glob(f"{STAGING}*"), *store.glob(f"{UPLOAD}*")):
        try:
            descriptor = filelocks.take(path, flags=os.O_RDONLY)
        except (BlockingIOError, FileNotFoundError):
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        os.close(descriptor)


def _check(name: str, kernel: Path | None, initrd: Path | None, cmdline: str, os_type: str, description: str) -> None:
    if not NAME.fullmatch(name):
        raise Invalid(
            f"'{name}' is not a valid image name: use at most 63 lower-case letters, digits, '.', '_' and '-'"
        )
    if os_type not in OS_TYPES:
        raise Invalid(f"unknown os_type '{os_type}'; expected one of {', '.join(OS_TYPES)}")
    if kernel is None and (initrd or cmdline):
        raise Invalid("an initrd or a command line needs a kernel: give a kernel too")
    for what, text in (("command line", cmdline), ("description", description)):
        if len(text) > MAX_TEXT or not text.isprintable():
            raise Invalid(f"the {what} must be one line of at most {MAX_TEXT} printable characters")


def _refuse_taken(store: Path, name: str) -> None:
    if (store / name).exists():
        raise Conflict(f"image '{name}' already exists: remove it first, or choose another name", code="image_exists")


@contextmanager
def _room() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise diskfiles.no_room() from None


def _kernel(source: Path | None, target: Path) -> ImageFile | None:
    taken = _taken(source, target)
    if taken is not None:
        diskfiles.check_kernel(target)
    return taken


def _taken(source: Path | None, target: Path) -> ImageFile | None:
    if source is None:
        return None
    return ImageFile(target.name, diskfiles.take(source, target), target.stat().st_size)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
