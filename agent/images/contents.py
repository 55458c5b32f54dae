"""Images by content, in a folder of the host's own: `blobs/<sha256>`, and `manifests/<digest>.json`, which comes last.

A blob is under its name once it is whole and verified, and beside it as `.part` while it comes. An image whose manifest
is there is whole.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from core import durable
from core.contract import images
from core.contract.errors import Invalid
from core.contract.images import ImageFile, Manifest

_SUFFIX = ".json"


@dataclass(frozen=True)
class Contents:
    """Those of one host."""

    folder: Path

    @property
    def _blobs(self) -> Path:
        return self.folder / "blobs"

    @property
    def _manifests(self) -> Path:
        return self.folder / "manifests"

    def make(self) -> None:
        """The folders, unless they are there. Users of VMs pass through them to links of blobs, and see nothing."""
        for folder in (self._blobs, self._manifests):
            folder.mkdir(mode=0o711, parents=True, exist_ok=True)

    def free_bytes(self) -> int:
        """What their disk has room for."""
        return shutil.disk_usage(self.folder).free

    def digests(self) -> list[str]:
        """Of all that are whole."""
        return sorted(f"sha256:{path.stem}" for path in self._manifests.glob(f"[!.]*{_SUFFIX}"))

    def get(self, digest: str) -> Manifest | None:
        """The image with that digest; None unless it is here, whole."""
        if not images.DIGEST.fullmatch(digest):
            return None
        try:
            manifest = images.of_content(self._manifest(digest).read_bytes(), digest)
        except (FileNotFoundError, Invalid):
            return None
        return manifest if all(self.has(file) for file in manifest.files) else None

    def has(self, file: ImageFile) -> bool:
        """Whether that blob is here."""
        try:
            return self.blob(file).stat().st_size == file.size_bytes
        except FileNotFoundError:
            return False

    def missing(self, file: ImageFile) -> int:
        """How many of its bytes are not here yet."""
        if self.has(file):
            return 0
        try:
            return max(0, file.size_bytes - self.part(file).stat().st_size)
        except FileNotFoundError:
            return file.size_bytes

    def blob(self, file: ImageFile) -> Path:
        """Where it is, or will be."""
        return self._blobs / file.sha256

    def part(self, file: ImageFile) -> Path:
        """Where it is while it comes."""
        return self._blobs / f"{file.sha256}.part"

    def came(self, file: ImageFile) -> None:
        """The part is the whole, and was verified: it gets its name, and outlives a power cut."""
        part = self.part(file)
        part.chmod(0o644)
        descriptor = os.open(part, os.O_RDWR)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        part.replace(self.blob(file))
        durable.sync_folder(self._blobs)

    def finish(self, manifest: Manifest) -> None:
        """All blobs are here: the image is."""
        durable.write(self._manifest(manifest.digest), manifest.canonical)

    def _manifest(self, digest: str) -> Path:
        return self._manifests / f"{digest.removeprefix('sha256:')}{_SUFFIX}"
