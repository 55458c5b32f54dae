"""Pulls of images: one at a time for each image, and only while a command waits for it."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from agent.images import collecting
from agent.images.collecting import Rules
from agent.images.contents import ImageContents
from agent.images.download import SPARE_BYTES, BlobDownload, Rate, no_room, of_image
from agent.images.source import Away, Source
from core.backoff import Backoff
from core.contract.errors import CorralError, DriverFailure, NotFound, Unavailable
from core.contract.images import ImageFile, ImageManifest
from core.contract.messages import ImageRef

log = logging.getLogger(__name__)

AT_ONCE = 2
GIVE_UP_SECONDS = 300.0  # without a byte
_LOOK_SECONDS = 0.5
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0

T = TypeVar("T")
Progress = Callable[[str, int | None], None]


class Unwanted(Exception):
    """Nobody waits for it any more; what has come stays."""


@dataclass
class Pull:
    """A pull in progress; its files are known once it has the manifest."""

    image: ImageRef
    blobs: dict[str, ImageFile] = field(default_factory=dict)
    waiting: int = 0
    ended: bool = False
    failure: CorralError | None = None
    left: int = 0
    size: int = 0
    problem: str = ""
    heard_at: float = field(default_factory=time.monotonic)

    def step(self) -> tuple[str, int | None]:
        """How far it is, for people."""
        step = f"pulling image '{self.image.name}'"
        if self.problem:
            step = f"{step}: {self.problem}"
        return step, 100 - self.left * 100 // self.size if self.size else None


class Pulls:
    """The pulls of one host. `on_new` is called once an image is here that was not."""

    def __init__(self, contents: ImageContents, source: Source | None, rate: Rate, rules: Rules) -> None:
        self._contents, self._source, self._rate, self._rules = contents, source, rate, rules
        self._held: Counter[str] = Counter()
        contents.make()
        self._changed = threading.Condition()
        self._under_way: dict[str, Pull] = {}
        self._places = threading.Semaphore(AT_ONCE)
        self._blobs: dict[str, threading.Lock] = {}
        self.on_new: Callable[[], None] = lambda: None

    @property
    def possible(self) -> bool:
        """Whether this host knows where images are, and can show who it is."""
        return self._source is not None

    def obtain(self, image: ImageRef, progress: Progress, timeout: float) -> None:
        """Returns once the image with that digest is here. `progress` hears how far it is, and may raise.

        Errors: `NotFound`, `NoCapacity`, `DriverFailure` (image_damaged, image_unavailable), `Unavailable` at the end
        of the time.
        """
        until = time.monotonic() + timeout
        with self._joined(image) as pull:
            while not self._over(pull):
                progress(*pull.step())
                if time.monotonic() > until:
                    why = pull.step()[0]
                    raise Unavailable(f"image '{image.name}' was not pulled in time: {why}", code="deadline_exceeded")
            if pull.failure is not None:
                raise pull.failure

    @contextmanager
    def held(self, image: ImageRef) -> Iterator[None]:
        """Nothing removes that image during the block, if it is here or comes."""
        with self._changed:
            self._held[image.digest] += 1
            self._contents.use(image.digest)
        try:
            yield
        finally:
            with self._changed:
                self._held[image.digest] -= 1
                self._contents.use(image.digest)

    def collect(self, more: int = 0) -> int:
        """Removes what nobody uses, by the rules, so that there are `more` bytes free; how many images."""
        with self._changed:
            held = {digest for digest, count in self._held.items() if count > 0}
            coming = {sha256 for pull in self._under_way.values() for sha256 in pull.blobs}
            return collecting.collect(self._contents, self._rules, held, coming, more)

    def _over(self, pull: Pull) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: pull.ended, _LOOK_SECONDS)

    @contextmanager
    def _joined(self, image: ImageRef) -> Iterator[Pull]:
        source = self._source
        if source is None:
            raise NotFound(
                f"image '{image.name}' is not on this host, and its agent has no address of the API",
                code="image_not_found",
            )
        with self._changed:
            pull = self._under_way.get(image.digest)
            if pull is None:
                pull = self._under_way[image.digest] = Pull(image)
                threading.Thread(target=self._run, args=[source, pull], name="pull", daemon=True).start()
            pull.waiting += 1
        try:
            yield pull
        finally:
            with self._changed:
                pull.waiting -= 1

    def _run(self, source: Source, pull: Pull) -> None:
        try:
            self._pull(source, pull)
        except Unwanted:
            log.info("image %s is not pulled any further: nobody waits for it", pull.image.name)
        except CorralError as error:
            log.warning("image %s was not pulled: %s", pull.image.name, error.message)
            pull.failure = error
        except Exception:  # the outermost handler of this thread: whoever waits is told
            log.exception("the pull of image %s broke", pull.image.name)
            pull.failure = DriverFailure("the agent failed unexpectedly; its log says why", code="internal_error")
        with self._changed:
            pull.ended = True
            self._forget(pull)
            self._changed.notify_all()

    def _pull(self, source: Source, pull: Pull) -> None:
        with self._turn(pull, self._places):
            if self._contents.get(pull.image.digest) is not None:
                return
            began = time.monotonic()
            manifest = self._asked(pull, lambda: source.manifest(pull.image.digest))
            self._fetch(source, pull, manifest)
            self._contents.finish(manifest)
        log.info("pulled image %s in %.1f s", manifest.name, time.monotonic() - began)
        self.on_new()

    def _fetch(self, source: Source, pull: Pull, manifest: ImageManifest) -> None:
        blobs = {file.sha256: file for file in manifest.files}
        with self._changed:
            pull.blobs = blobs

        def came() -> None:
            pull.left, pull.heard_at = sum(map(self._contents.missing, blobs.values())), time.monotonic()
            self._must_be_wanted(pull)

        pull.size = sum(file.size_bytes for file in blobs.values())
        came()
        if self._contents.free_bytes() < pull.left + SPARE_BYTES:
            self.collect(more=pull.left + SPARE_BYTES)
        if self._contents.free_bytes() < pull.left + SPARE_BYTES:
            raise no_room(manifest)
        for sha256, file in blobs.items():
            with self._turn(pull, self._blobs.setdefault(sha256, threading.Lock())):  # two images may have it
                if not self._contents.has(file):
                    download = BlobDownload(of_image(source, manifest, file), self._contents, file, self._rate)
                    self._asked(pull, lambda download=download: download.run(came))  # type: ignore[misc]

    @contextmanager
    def _turn(self, pull: Pull, place: threading.Lock | threading.Semaphore) -> Iterator[None]:
        while not place.acquire(timeout=_LOOK_SECONDS):
            pull.problem = "waiting for another image"
            self._must_be_wanted(pull)
        pull.problem = ""
        try:
            yield
        finally:
            place.release()

    def _asked(self, pull: Pull, what: Callable[[], T]) -> T:
        """The answer, asked for until there is one."""
        backoff = Backoff(_SHORTEST_PAUSE, _LONGEST_PAUSE, jitter=0.3)
        pull.heard_at = time.monotonic()
        while True:
            heard_at = pull.heard_at
            try:
                return what()
            except Away as away:
                if pull.heard_at > heard_at:
                    backoff.reset()
                if away.seconds:  # it is there, and has said when to come again
                    pull.heard_at = time.monotonic()
                if time.monotonic() - pull.heard_at > GIVE_UP_SECONDS:
                    raise _given_up(pull, away) from None
                pull.problem = f"{away}, trying again"
                self._pause(pull, max(away.seconds, backoff.pause()))
                pull.problem = ""

    def _pause(self, pull: Pull, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._must_be_wanted(pull)
            time.sleep(min(left, _LOOK_SECONDS))

    def _must_be_wanted(self, pull: Pull) -> None:
        with self._changed:
            if not pull.waiting:
                self._forget(pull)  # whoever wants it from now on begins another
                raise Unwanted

    def _forget(self, pull: Pull) -> None:
        if self._under_way.get(pull.image.digest) is pull:
            del self._under_way[pull.image.digest]


def _given_up(pull: Pull, why: Away) -> Unavailable:
    return Unavailable(f"image '{pull.image.name}' was not pulled: {why}", code="image_unavailable")
