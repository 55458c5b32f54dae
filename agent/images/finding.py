"""Finds the image of a VM on this host: in its own store by name, or among pulled images by digest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from agent.images.contents import ImageContents
from core.contract import images
from core.contract.errors import Conflict, Invalid, NotFound
from core.contract.images import ImageFile, ImageManifest
from core.contract.messages import ImageRef


@dataclass(frozen=True)
class LocalImage:
    """An image that is here. `store`: the folder of its own store that has it; None: it was pulled."""

    manifest: ImageManifest
    contents: ImageContents
    store: Path | None

    def path(self, file: ImageFile) -> Path:
        """Where that file of it is."""
        return self.store / file.name if self.store is not None else self.contents.blob(file)


def find(store: Path, contents: ImageContents, image: ImageRef) -> LocalImage:
    """The image; `NotFound` if it isn't here, `Invalid` if it can't be read, `Conflict` if it is another one by now."""
    pulled = contents.get(image.digest)
    if pulled is not None:
        return LocalImage(pulled, contents, None)
    manifest = images.read(store, image.name)
    if image.digest not in ("", manifest.digest):
        raise Conflict(
            f"image '{image.name}' was replaced on this host (it is {manifest.digest}, and was {image.digest}"
            " when the VM was placed): create the VM again",
            code="image_changed",
        )
    return LocalImage(manifest, contents, store / manifest.name)


def is_here(store: Path, contents: ImageContents, image: ImageRef) -> bool:
    """Whether a VM can be made of it."""
    try:
        find(store, contents, image)
    except (NotFound, Invalid, Conflict):
        return False
    return True
