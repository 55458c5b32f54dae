"""Media are confined to the host's folders, whatever a path looks like, and a disk stays its owner's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.media import CLAIMS, Media
from core.contract.errors import DriverFailure
from core.contract.messages import VmSpec


def spec(vm_id: str, owner: str = "") -> VmSpec:
    """A VM of someone's."""
    return VmSpec(vm_id, "web", "virtualbox", "linux", 1, 256, 4, owner=owner)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A media folder with a disk in it, and a disk beside it that is nobody's business."""
    (tmp_path / "media" / "iso").mkdir(parents=True)
    (tmp_path / "media" / "a.vdi").write_text("a")
    (tmp_path / "media" / "iso" / "b.iso").write_text("b")
    (tmp_path / "secret.vdi").write_text("secret")
    return tmp_path / "media"


@pytest.fixture
def media(home: Path) -> Media:
    """Its one media folder."""
    return Media([home])


def test_what_is_below_a_media_folder_is_found_by_any_of_its_names(media: Media, home: Path) -> None:
    (home / "link.vdi").symlink_to("a.vdi")
    real = Path(os.path.realpath(home))
    assert media.find(str(home / "a.vdi")) == media.find("a.vdi") == media.find("link.vdi") == real / "a.vdi"
    assert media.find("iso/b.iso") == real / "iso" / "b.iso"


@pytest.mark.parametrize(
    "path",
    [
        "",
        "../secret.vdi",
        "iso/../../secret.vdi",
        "iso/../a.vdi",
        "{home}/../secret.vdi",
        "{home}",
        ".",
        "/etc/passwd",
        "/dev/sda",
        "{home}-evil/a.vdi",
        "nothing.vdi",
        "iso",
        "a.vdi\n",
        "a\0.vdi",
        'a".vdi',
        "x" * 1001,
        f"{CLAIMS}/x",
        "out.vdi",
        "way/secret.vdi",
        "loop.vdi",
        "pipe.vdi",
    ],
)
def test_everything_else_is_refused(media: Media, home: Path, path: str) -> None:
    (home / "out.vdi").symlink_to(home.parent / "secret.vdi")
    (home / "way").symlink_to(home.parent)
    (home / "loop.vdi").symlink_to("loop.vdi")
    os.mkfifo(home / "pipe.vdi")
    (home / CLAIMS).mkdir()
    (home / CLAIMS / "x").write_text("")
    with pytest.raises(DriverFailure) as failure:
        media.find(path.format(home=home))
    assert failure.value.code == "invalid_request"


def test_a_new_medium_needs_its_folder_and_stays_inside(media: Media, home: Path) -> None:
    assert media.place_for("new.vdi") == Path(os.path.realpath(home)) / "new.vdi"
    for path in ("none/new.vdi", "../new.vdi", "/var/new.vdi"):
        with pytest.raises(DriverFailure):
            media.place_for(path)


def test_without_a_media_folder_there_are_no_media() -> None:
    with pytest.raises(DriverFailure, match="CORRAL_MEDIA"):
        Media([]).find("a.vdi")


def test_a_disk_is_its_owners_from_the_first_use_on(media: Media, home: Path) -> None:
    real = media.find("a.vdi")
    media.claim(real, spec("vm-1", "alice"))
    media.claim(real, spec("vm-2", "alice"))
    for other in (spec("vm-3", "bob"), spec("vm-1")):
        with pytest.raises(DriverFailure, match="someone else's"):
            Media([home]).claim(real, other)
    media.disclaim(real)
    media.claim(real, spec("vm-3", "bob"))


def test_a_damaged_claim_gives_the_disk_to_nobody(media: Media, home: Path) -> None:
    real = media.find("a.vdi")
    media.claim(real, spec("vm-1", "alice"))
    next((home / CLAIMS).iterdir()).write_text("{")
    with pytest.raises(DriverFailure, match="someone else's"):
        media.claim(real, spec("vm-1", "alice"))
