"""The images of a host: its own store, the pulled images, and pulls of more."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from agent.images import finding
from agent.images.contents import ImageContents
from agent.images.pulls import Progress, Pulls
from core.contract.errors import NotFound
from core.contract.messages import ImageRef


@dataclass(frozen=True)
class HostImages:
    """The images of one host. `store`: its own."""

    store: Path
    contents: ImageContents
    pulls: Pulls

    def lacks(self, image: ImageRef) -> bool:
        """Whether that version of it is not here, so that it has to come from the fleet."""
        return bool(image.digest) and not finding.is_here(self.store, self.contents, image)

    def obtain(self, image: ImageRef, progress: Progress, timeout: float) -> None:
        """Returns once it is here; `progress` hears how far it is, and may raise. The errors are those of `Pulls`.

        If the fleet has it no more, the error is that of what is here of its name.
        """
        try:
            self.pulls.obtain(image, progress, timeout)
        except NotFound:
            finding.find(self.store, self.contents, image)
