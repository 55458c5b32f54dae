"""Prefetches: pulls of images that no VM waits for, each for as long as the control plane keeps asking for it."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass

from agent.images.images import HostImages
from core.contract.errors import CorralError, DriverFailure
from core.contract.messages import ImageRef
from core.contract.prefetching import PullImageReply

log = logging.getLogger(__name__)
LONGEST_SECONDS = 7 * 86_400.0


class _Expired(Exception):
    """The control plane has not asked for it again in time."""


@dataclass
class _Prefetch:
    """One in progress. `until` is on the monotonic clock."""

    until: float
    step: str = ""
    percent: int | None = None
    failure: CorralError | None = None


class Prefetches:
    """Those of one host. A restart of the agent forgets them; the next question begins them again, where they were."""

    def __init__(self, images: HostImages) -> None:
        self._images = images
        self._lock = threading.Lock()
        self._by_digest: dict[str, _Prefetch] = {}

    def ask(self, image: ImageRef, seconds: float) -> PullImageReply:
        """Have the image pulled, for so long unless it is asked for again; how far it is. Never blocks.

        An error is answered once: the next question begins another pull.
        """
        if not self._images.lacks(image):
            return PullImageReply(here=True)
        until = time.monotonic() + seconds
        with self._lock:
            prefetch = self._by_digest.get(image.digest)
            if prefetch is not None and prefetch.failure is not None:
                del self._by_digest[image.digest]
                return PullImageReply(here=False, error_code=prefetch.failure.code, error=prefetch.failure.message)
            if prefetch is not None:
                prefetch.until = until
                return PullImageReply(here=False, step=prefetch.step, percent=prefetch.percent)
            prefetch = self._by_digest[image.digest] = _Prefetch(until)
        threading.Thread(target=self._run, args=[image, prefetch], name="prefetch", daemon=True).start()
        return PullImageReply(here=False)

    def _run(self, image: ImageRef, prefetch: _Prefetch) -> None:
        def progress(step: str, percent: int | None) -> None:
            prefetch.step, prefetch.percent = step, percent
            if time.monotonic() > prefetch.until:
                raise _Expired

        failure: CorralError | None = None
        try:
            self._images.obtain(image, progress, LONGEST_SECONDS)
        except _Expired:
            log.info("image %s is not prefetched any further: nobody asks for it", image.name)
        except CorralError as error:
            failure = error
        except Exception:  # the outermost handler of this thread: whoever asks is told
            log.exception("the prefetch of image %s failed unexpectedly", image.name)
            failure = DriverFailure("the agent failed unexpectedly; its log says why", code="internal_error")
        with self._lock:
            prefetch.failure = failure
            if failure is None:
                del self._by_digest[image.digest]
