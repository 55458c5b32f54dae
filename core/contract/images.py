"""The format of an image in a store: a folder `<name>/` with `manifest.json` and the files that it names.

A manifest is written last, in one rename, so that a folder with a manifest is a whole image. The digest of an image
is the SHA-256 of its manifest's canonical JSON, which holds the SHA-256 of each file.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

from core.contract.errors import Invalid, NotFound
from core.contract.messages import decode

MANIFEST = "manifest.json"
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
SHA256 = re.compile(r"[0-9a-f]{64}")
FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


@dataclass(frozen=True)
class ImageFile:
    """A file of an image, beside its manifest."""

    name: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class ImageManifest:
    """The manifest of an image. Without `kernel` the firmware boots `disk`; `cmdline` goes with the kernel.

    `disk_size_gb` is the least a VM's disk must have. `guest_agent`: the QEMU guest agent starts by itself, and a VM
    is usable when it answers.
    """

    name: str
    os_type: str
    format: str
    disk: ImageFile
    disk_size_gb: int
    kernel: ImageFile | None = None
    initrd: ImageFile | None = None
    cmdline: str = ""
    guest_agent: bool = False
    description: str = ""
    facts: dict[str, object] = field(default_factory=dict)

    @property
    def files(self) -> list[ImageFile]:
        """All that it names."""
        return [file for file in (self.disk, self.kernel, self.initrd) if file is not None]

    @property
    def size_bytes(self) -> int:
        """What its files take together."""
        return sum(file.size_bytes for file in self.files)

    @property
    def canonical(self) -> bytes:
        """The text that its digest is of."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":")).encode()

    @cached_property
    def digest(self) -> str:
        """ "sha256:<hex>" of the whole."""
        return digest_of(self.canonical)


def digest_of(canonical: bytes) -> str:
    """The digest of a manifest by its canonical text."""
    return "sha256:" + hashlib.sha256(canonical).hexdigest()


def of_content(canonical: bytes, digest: str) -> ImageManifest:
    """The manifest with that digest, whoever has sent it; `Invalid` for any other, and for one that can't be."""
    if digest_of(canonical) != digest:
        raise Invalid(f"the received manifest does not match its digest {digest}")
    manifest = decode(ImageManifest, canonical)
    named = [file.name for file in manifest.files]
    whole = all(FILE_NAME.fullmatch(file.name) and SHA256.fullmatch(file.sha256) for file in manifest.files)
    if not NAME.fullmatch(manifest.name) or not whole or len(set(named)) < len(named):
        raise Invalid(f"the manifest {digest} names invalid files")
    return manifest


def read(store: Path, name: str) -> ImageManifest:
    """The manifest of an image in a store; `NotFound` when it isn't there, `Invalid` when it can't be read."""
    if not NAME.fullmatch(name):
        raise Invalid(
            f"'{name}' is not a valid image name: use at most 63 lower-case letters, digits, '.', '_' and '-'"
        )
    try:
        text = (store / name / MANIFEST).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"image '{name}' not found", code="image_not_found") from None
    try:
        return decode(ImageManifest, text)
    except Invalid as error:
        raise Invalid(f"the manifest of image '{name}' can't be read: {error.message}") from None


def readable(store: Path, among: Iterable[str]) -> list[ImageManifest]:
    """Those of these images that can be read."""
    manifests = []
    for name in among:
        with suppress(NotFound, Invalid):
            manifests.append(read(store, name))
    return manifests


def names(store: Path) -> list[str]:
    """The images in a store."""
    return sorted(versions(store))


def versions(store: Path) -> dict[str, tuple[int, int]]:
    """The images in a store by name, and what is another number once one is replaced, at the cost of a look."""
    found = {}
    for path in store.glob(f"*/{MANIFEST}"):
        with suppress(FileNotFoundError):
            status = path.stat()
            found[path.parent.name] = (status.st_ino, status.st_mtime_ns)
    return found
