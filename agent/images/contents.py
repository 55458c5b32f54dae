"""The store of pulled images: `blobs/<sha256>`, and `manifests/<digest>.json`, which is written last.

A blob is under its name once it is whole and verified, and beside it as `.part` while it comes. An image whose manifest
is there is whole.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from core import durable
from core.contract import images
from core.contract.errors import Invalid
from core.contract.images import ImageFile, ImageManifest

_SUFFIX, _PART = ".json", ".part"


@dataclass(frozen=True)
class ImageContents:
    """The pulled images of one host."""

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

    def get(self, digest: str) -> ImageManifest | None:
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
        return self._blobs / f"{file.sha256}{_PART}"

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

    def finish(self, manifest: ImageManifest) -> None:
        """All blobs are here: the image is."""
        durable.write(self._manifest(manifest.digest), manifest.canonical)

    def use(self, digest: str) -> None:
        """Notes that it is used now."""
        if images.DIGEST.fullmatch(digest):
            with suppress(FileNotFoundError):
                os.utime(self._manifest(digest))

    def used_at(self, digest: str) -> float:
        """When it was used last, or came."""
        try:
            return self._manifest(digest).stat().st_mtime
        except FileNotFoundError:
            return 0.0

    def remove(self, digest: str, keep: Collection[str]) -> None:
        """Removes an image, its manifest first, and those of its blobs that no other has, nor are to be kept."""
        manifest = self.get(digest)
        self._manifest(digest).unlink(missing_ok=True)
        durable.sync_folder(self._manifests)
        wanted = {*keep, *self._wanted()}
        for file in manifest.files if manifest is not None else []:
            if file.sha256 not in wanted:
                self.blob(file).unlink(missing_ok=True)

    def tidy(self, before: float, keep: Collection[str]) -> None:
        """Removes blobs that no image has, and parts, that were written last before that moment."""
        wanted = {*keep, *self._wanted()}
        for path in self._blobs.glob("*"):
            if path.name.removesuffix(_PART) not in wanted and path.stat().st_mtime < before:
                path.unlink(missing_ok=True)

    def _wanted(self) -> set[str]:
        whole = [self.get(digest) for digest in self.digests()]
        return {file.sha256 for manifest in whole if manifest is not None for file in manifest.files}

    def _manifest(self, digest: str) -> Path:
        return self._manifests / f"{digest.removeprefix('sha256:')}{_SUFFIX}"
