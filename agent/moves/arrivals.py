"""The files of VMs that move to this host, while they come: a folder for each VM, in which each file is by its SHA-256.

They come from the host that has them, through the fleet's API: begun where an earlier try ended, and verified.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

from agent.drivers import ids
from agent.images.contents import ImageContents
from agent.images.download import SPARE_BYTES, BlobDownload, Rate, Wanted
from agent.images.source import Away, Source
from core.backoff import Backoff
from core.contract.errors import DriverFailure, NoCapacity, NotFound, Unavailable
from core.contract.images import ImageFile
from core.contract.messages import Command
from core.contract.moves import MovedFile

GIVE_UP_SECONDS = 300.0  # without a byte
_SHORTEST_PAUSE, _LONGEST_PAUSE, _LOOK_SECONDS = 0.2, 5.0, 0.5
_REMAINS_SECONDS = 3600.0

Progress = Callable[[str, int | None], None]


@dataclass
class Arrival:
    """One that is under way."""

    command: Command
    files: dict[str, ImageFile]
    contents: ImageContents
    progress: Progress
    until: float
    heard_at: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> int:
        """How many bytes are not here yet."""
        return sum(map(self.contents.missing, self.files.values()))

    def came(self) -> None:
        """Says how far it is."""
        self.heard_at = time.monotonic()
        size = sum(file.size_bytes for file in self.files.values())
        self.progress("copying the files", 100 - self.left * 100 // size if size else None)

    def wait(self, seconds: float, why: str) -> None:
        """Until it is to be tried again."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.progress(f"copying the files: {why}, trying again", None)
            time.sleep(min(left, _LOOK_SECONDS))


class Arrivals:
    """Those of one host."""

    def __init__(self, folder: Path, source: Source | None, rate: Rate) -> None:
        self._folder, self._source, self._rate = folder, source, rate

    def fetch(self, command: Command, files: list[MovedFile], progress: Progress, timeout: float) -> None:
        """Returns once all files of a VM are here. `progress` hears how far it is, and may raise.

        Errors: `NoCapacity`, `DriverFailure`, and `Unavailable` once nothing has come for long.
        """
        if not all(file.is_sane for file in files):
            raise DriverFailure("the VM's host listed files that no VM can have", code="state_damaged")
        if self._source is None:
            raise DriverFailure("the host's agent has no address of the API, which VMs come by", code="unsupported")
        wanted = {file.sha256: ImageFile(file.sha256, file.sha256, file.sent_bytes) for file in files}
        contents = self._contents(command.vm.id)
        contents.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        contents.make()
        arrival = Arrival(command, wanted, contents, progress, time.monotonic() + timeout)
        if contents.free_bytes() < arrival.left + sum(map(_unpacked, files)) + SPARE_BYTES:
            raise _no_room(command)
        for file in wanted.values():
            if not contents.has(file):
                self._get(self._source, arrival, file)

    def fetched(self, vm_id: str) -> Callable[[MovedFile], Path]:
        """Where each of them is."""
        contents = self._contents(vm_id)
        return lambda file: contents.blob(ImageFile(file.sha256, file.sha256, file.sent_bytes))

    def clear(self, vm_id: str) -> None:
        """Removes what has come of a VM."""
        shutil.rmtree(self._contents(vm_id).folder, ignore_errors=True)

    def tidy(self, busy: Collection[str]) -> None:
        """Removes what was left long ago of moves that came to nothing."""
        before = time.time() - _REMAINS_SECONDS
        for path in self._folder.glob("*"):
            if path.name not in busy and path.stat().st_mtime < before:
                shutil.rmtree(path, ignore_errors=True)

    def _get(self, source: Source, arrival: Arrival, file: ImageFile) -> None:
        name, operation_id = arrival.command.vm.name, arrival.command.operation_id
        damaged = DriverFailure(f"a file of VM '{name}' came with another sum than was told", code="state_damaged")
        wanted = Wanted(
            lambda first: source.moved(operation_id, file.sha256, first), damaged, _no_room(arrival.command)
        )
        download = BlobDownload(wanted, arrival.contents, file, self._rate)
        backoff = Backoff(_SHORTEST_PAUSE, _LONGEST_PAUSE, jitter=0.3)
        while True:
            heard_at = arrival.heard_at
            try:
                return download.run(arrival.came)
            except NotFound:
                raise DriverFailure(f"VM '{name}' does not move here any more", code="invalid_state") from None
            except Away as away:
                if arrival.heard_at > heard_at:
                    backoff.reset()
                now = time.monotonic()
                if now - arrival.heard_at > GIVE_UP_SECONDS or now > arrival.until:
                    raise Unavailable(f"the files of VM '{name}' did not come: {away}") from None
                arrival.wait(max(away.seconds, backoff.pause()), str(away))

    def _contents(self, vm_id: str) -> ImageContents:
        return ImageContents(self._folder / ids.checked("VM", vm_id))


def _unpacked(file: MovedFile) -> int:
    """What a file with holes takes once more, until all are in place."""
    return 0 if file.sent_bytes == file.size_bytes else file.sent_bytes


def _no_room(command: Command) -> NoCapacity:
    return NoCapacity(f"the host's disk has no room for the files of VM '{command.vm.name}'", code="no_space")
