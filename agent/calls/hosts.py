"""Calls about what a host has beside its VMs: media and images."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import to_builtins

from agent.calls.parameters import asked
from agent.images.prefetching import Prefetches
from agent.media.media import MediaFolders
from core.contract.calls import MediumRef
from core.contract.messages import JSON, Call, ImageRef
from core.contract.prefetching import PullImage


class HostCalls:
    """Those of one host, by their verbs."""

    def __init__(self, media: MediaFolders, prefetches: Prefetches) -> None:
        self._media, self._prefetches = media, prefetches
        self.verbs: dict[str, Callable[[Call], JSON]] = {
            "medium_delete": self._medium_delete,
            "image_pull": self._image_pull,
        }

    def _medium_delete(self, call: Call) -> JSON:
        self._media.delete(asked(call, MediumRef).id)
        return {}

    def _image_pull(self, call: Call) -> JSON:
        wanted = asked(call, PullImage)
        pulled = self._prefetches.ask(ImageRef(wanted.name, wanted.digest), wanted.seconds)
        return to_builtins(pulled)  # type: ignore[no-any-return]
