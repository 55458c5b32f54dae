"""What came to a host and nobody uses goes again; nothing that a VM rests on, or that is on its way, ever does."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from pathlib import Path

import pytest

from agent.images import collecting
from agent.images.collecting import Rules
from agent.images.contents import ImageContents
from agent.images.download import Rate
from agent.images.pulls import Pulls
from core.contract.images import ImageFile, ImageManifest
from core.contract.messages import ImageRef

DAY = 86_400.0
OLD = Rules(keep_days=7)
KERNEL = b"a kernel that several images have"


@pytest.fixture
def contents(tmp_path: Path) -> ImageContents:
    made = ImageContents(tmp_path / "pulled")
    made.make()
    return made


def blob(contents: ImageContents, name: str, data: bytes) -> ImageFile:
    file = ImageFile(name, hashlib.sha256(data).hexdigest(), len(data))
    contents.part(file).write_bytes(data)
    contents.came(file)
    return file


def image(contents: ImageContents, name: str, days_ago: float = 0.0, kernel: bytes | None = None) -> ImageManifest:
    """One that came, or was used last, that long ago."""
    made = ImageManifest(
        name,
        "linux",
        "raw",
        blob(contents, "disk.raw", name.encode()),
        1,
        kernel=None if kernel is None else blob(contents, "vmlinuz", kernel),
    )
    contents.finish(made)
    long_ago(contents.folder / "manifests" / f"{made.digest.removeprefix('sha256:')}.json", days_ago)
    return made


def long_ago(path: Path, days: float) -> None:
    at = time.time() - days * DAY
    os.utime(path, (at, at))


def names(contents: ImageContents) -> set[str]:
    found = [contents.get(digest) for digest in contents.digests()]
    return {each.name for each in found if each is not None}


def vm(contents: ImageContents, of: ImageManifest, tmp_path: Path) -> Path:
    """A VM's folder with a link of the image's disk."""
    link = tmp_path / f"vm-{of.name}"
    os.link(contents.blob(of.disk), link)
    return link


def test_what_was_unused_for_long_goes_with_the_files_that_no_other_has(contents: ImageContents) -> None:
    old, young = image(contents, "old", 8, KERNEL), image(contents, "young", 6, KERNEL)
    assert collecting.collect(contents, OLD, (), ()) == 1
    assert names(contents) == {"young"}
    assert contents.get(young.digest) == young
    assert not contents.blob(old.disk).exists()
    assert collecting.collect(contents, Rules(), (), ()) == 0


def test_what_a_vm_rests_on_or_a_new_one_is_made_of_stays(contents: ImageContents, tmp_path: Path) -> None:
    rested_on, held, coming = (image(contents, name, 30) for name in ("rested-on", "held", "coming"))
    link = vm(contents, rested_on, tmp_path)
    assert collecting.collect(contents, OLD, [held.digest], [coming.disk.sha256]) == 1
    assert names(contents) == {"rested-on", "held"}
    assert contents.blob(coming.disk).exists()  # another image that is on its way has that file, too
    link.unlink()
    assert collecting.collect(contents, OLD, (), ()) == 2
    assert names(contents) == set()


def test_a_full_disk_takes_the_longest_unused_first(contents: ImageContents, tmp_path: Path) -> None:
    free = contents.free_bytes()
    for days, name in enumerate(("newest", "older", "oldest")):
        image(contents, name, days)
    link = vm(contents, image(contents, "rested-on", 30), tmp_path)
    never = Rules(free_bytes=2 * free)
    assert collecting.collect(contents, Rules(free_bytes=free // 2), (), ()) == 0
    assert collecting.collect(contents, Rules(free_bytes=free // 2), (), (), more=free) == 3
    assert names(contents) == {"rested-on"}
    link.unlink()
    assert collecting.collect(contents, never, (), ()) == 1


def test_what_was_begun_and_left_goes_after_a_day(contents: ImageContents) -> None:
    blobs = contents.folder / "blobs"
    files = {
        name: ImageFile("disk", hashlib.sha256(name.encode()).hexdigest(), 9) for name in ("left", "new", "coming")
    }
    for name, file in files.items():
        contents.part(file).write_bytes(b"half")
        long_ago(contents.part(file), 0.5 if name == "new" else 2)
    long_ago(contents.blob(blob(contents, "lost", b"a file without its image")), 2)
    collecting.collect(contents, OLD, (), [files["coming"].sha256])
    assert {path.name for path in blobs.iterdir()} == {f"{files[name].sha256}.part" for name in ("new", "coming")}


def test_use_begins_the_days_anew_and_nothing_goes_during_it(contents: ImageContents) -> None:
    old = image(contents, "old", 30)
    pulls, ref = Pulls(contents, None, Rate(0), OLD), ImageRef(old.name, old.digest)
    with pulls.held(ref):
        long_ago(contents.folder / "manifests" / f"{old.digest.removeprefix('sha256:')}.json", 30)
        taken: list[int] = []
        threads = [threading.Thread(target=lambda: taken.append(pulls.collect())) for _ in range(3)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert (taken, names(contents)) == ([0, 0, 0], {"old"})
    assert (pulls.collect(), names(contents)) == (0, {"old"})
    long_ago(contents.folder / "manifests" / f"{old.digest.removeprefix('sha256:')}.json", 8)
    assert (pulls.collect(), names(contents)) == (1, set())
