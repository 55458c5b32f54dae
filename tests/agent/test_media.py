"""Media are confined to the host's folders, whatever a path looks like, and a disk stays its owner's."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.media.media import DISKS, MediaFolders, UsableMedium
from agent.media.records import CLAIMS
from core.contract.errors import DriverFailure
from core.contract.messages import VmSpec


def spec(vm_id: str, owner: str = "") -> VmSpec:
    """A VM of someone's."""
    return VmSpec(vm_id, "web", "virtualbox", "linux", 1, 256, 4, owner=owner)


ALICE, BOB = spec("vm-1", "alice"), spec("vm-3", "bob")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A media folder with a disk in it, and a disk beside it that is nobody's business."""
    (tmp_path / "media" / "iso").mkdir(parents=True)
    (tmp_path / "media" / "a.raw").write_bytes(bytes(1024))
    (tmp_path / "media" / "iso" / "b.iso").write_bytes(bytes(32769) + b"CD001")
    (tmp_path / "secret.vdi").write_text("secret")
    return tmp_path / "media"


@pytest.fixture
def media(home: Path) -> MediaFolders:
    """Its one media folder."""
    return MediaFolders([home])


def test_what_is_below_a_media_folder_is_found_by_any_of_its_names(media: MediaFolders, home: Path) -> None:
    (home / "link.raw").symlink_to("a.raw")
    real = Path(os.path.realpath(home))
    for name in ("a.raw", str(home / "a.raw"), "./a.raw", "link.raw"):
        assert media.disk(name, ALICE).path == real / "a.raw"
    assert media.dvd("iso/b.iso").path == real / "iso" / "b.iso"


@pytest.mark.parametrize(
    "path",
    [
        "",
        "../secret.vdi",
        "iso/../../secret.vdi",
        "iso/../a.raw",
        "{home}/../secret.vdi",
        "{home}",
        ".",
        "/etc/passwd",
        "/dev/sda",
        "{home}-evil/a.raw",
        "nothing.vdi",
        "iso",
        "a.raw\n",
        "a\0.vdi",
        'a".vdi',
        "x" * 1001,
        f"{CLAIMS}/x",
        f"{DISKS}/bob/x.raw",
        "y" * 300,
        "out.vdi",
        "way/secret.vdi",
        "loop.vdi",
        "pipe.vdi",
    ],
)
def test_everything_else_is_refused(media: MediaFolders, home: Path, path: str) -> None:
    (home / "out.vdi").symlink_to(home.parent / "secret.vdi")
    (home / "way").symlink_to(home.parent)
    (home / "loop.vdi").symlink_to("loop.vdi")
    os.mkfifo(home / "pipe.vdi")
    (home / CLAIMS).mkdir()
    (home / CLAIMS / "x").write_text("")
    asks: list[Callable[[str], object]] = [media.dvd, lambda name: media.disk(name, ALICE)]
    for ask in asks:
        with pytest.raises(DriverFailure) as failure:
            ask(path.format(home=home))
        assert failure.value.code == "invalid_request"
        assert str(home) not in failure.value.message.replace(path.format(home=home)[:80], "")


@pytest.mark.parametrize("name", ["none/new.vdi", "../new.vdi", "/var/new.vdi", "x.iso", "x.ISO", "y" * 256, "é" * 200])
def test_what_no_new_disk_can_be_called(media: MediaFolders, name: str) -> None:
    assert not media.is_there(name, ALICE) if name[0] not in "./" else True
    with pytest.raises(DriverFailure) as failure:
        media.reserve(name, ALICE)
    assert failure.value.code == "invalid_request"


def test_a_new_disk_is_its_owners_before_it_is_there(media: MediaFolders, home: Path) -> None:
    found = media.reserve("new.vdi", ALICE)
    assert found == UsableMedium("new.vdi", home.resolve() / DISKS / "alice" / "new.vdi", "vdi")
    assert not media.is_there("new.vdi", ALICE)
    found.path.write_text("whatever")
    assert media.disk("new.vdi", spec("vm-2", "alice")) == found
    assert not media.is_there("new.vdi", BOB)
    media.disclaim(found)
    assert not media.is_there("new.vdi", ALICE)
    assert list((home / CLAIMS).glob("[!.]*")) == []


def test_without_a_media_folder_there_are_no_media() -> None:
    with pytest.raises(DriverFailure, match="CORRAL_MEDIA"):
        MediaFolders([]).dvd("b.iso")


def test_a_disk_is_its_owners_from_the_first_use_on(media: MediaFolders, home: Path) -> None:
    media.disk("a.raw", ALICE)
    media.disk("a.raw", spec("vm-2", "alice"))
    for other in (BOB, spec("vm-1")):
        assert not media.is_there("a.raw", other)
        with pytest.raises(DriverFailure, match="no such file"):
            MediaFolders([home]).disk("a.raw", other)


def test_a_format_is_decided_once(media: MediaFolders, home: Path) -> None:
    (home / "b.raw").write_bytes(b"QFI\xfb")
    with pytest.raises(DriverFailure, match="qcow2"):
        media.disk("b.raw", ALICE)
    assert media.is_there("b.raw", BOB)  # nobody's still
    found = media.disk("a.raw", ALICE)
    for content in (b"QFI\xfb", b"# Disk DescriptorFile\nversion=1\n", b"LUKS\xba\xbe\0\1", b"KDMV", b""):
        found.path.write_bytes(content)
        assert media.disk("a.raw", ALICE) == found
        media.must_be_usable(str(found.path), ALICE, dvd=False)


def test_a_record_of_an_older_release_goes_by_the_name(media: MediaFolders, home: Path) -> None:
    media.disk("a.raw", ALICE)
    (file,) = (home / CLAIMS).glob("[!.]*")
    kept = json.loads(file.read_text())
    file.write_text(json.dumps({name: kept[name] for name in ("owner", "medium")}))
    (home / "a.raw").write_bytes(b"QFI\xfb")
    assert media.disk("a.raw", ALICE).format == "raw"


@pytest.mark.parametrize("text", ["{", "", "[]", '{"owner": "alice"}', '{"owner": "alice", "medium": "/etc/passwd"}'])
def test_a_damaged_record_gives_the_disk_to_nobody(media: MediaFolders, home: Path, text: str) -> None:
    media.disk("a.raw", ALICE)
    next((home / CLAIMS).glob("[!.]*")).write_text(text)
    for vm in (ALICE, BOB):
        with pytest.raises(DriverFailure, match="no such file"):
            media.disk("a.raw", vm)


@pytest.mark.parametrize("owner", ["..", "a/b", "", ".x", "x" * 101])
def test_an_owner_that_is_no_name_of_a_folder_is_refused(media: MediaFolders, owner: str) -> None:
    with pytest.raises(DriverFailure) as failure:
        media.reserve("new.vdi", spec("..", owner))
    assert failure.value.code == "invalid_request"


def test_a_dvd_is_no_disk_and_a_disk_no_dvd(media: MediaFolders, home: Path) -> None:
    for name in ("a.raw", "iso/text.iso"):
        (home / "iso" / "text.iso").write_text("--iprt-iso-maker-file-marker-bourne-sh")
        with pytest.raises(DriverFailure):
            media.dvd(name)
    with pytest.raises(DriverFailure):
        media.disk("iso/b.iso", ALICE)
