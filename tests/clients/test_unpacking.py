"""What a guest has packed is unpacked into the folder that was asked for, and nowhere else, whatever it is."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from tarfile import TarInfo

import pytest

from cli.remote.unpacking import ArchiveRefused, unpack

DEEP, STEPS = "d" * 247, "abcdefghijklmnop"  # more than a path may have, by links that each have one letter


def member(name: str, kind: bytes = tarfile.REGTYPE, to: str = "", **more: object) -> TarInfo:
    made = TarInfo(name)
    made.type, made.linkname = kind, to
    for key, value in more.items():
        setattr(made, key, value)
    return made


def link(name: str, to: str) -> TarInfo:
    return member(name, tarfile.SYMTYPE, to)


def folder(name: str) -> TarInfo:
    return member(name, tarfile.DIRTYPE, mode=0o777)


def file(name: str) -> TarInfo:
    return member(name, size=3, mode=0o6666)


def packed(at: Path, *members: TarInfo) -> Path:
    with tarfile.open(at / "packed.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        for each in members:
            tar.addfile(each, io.BytesIO(b"new") if each.isreg() else None)
    return at / "packed.tar"


def led_out() -> list[TarInfo]:
    """By links that are longer than what a path may be, so that `realpath` gives up (CVE-2025-4517)."""
    made, at = list[TarInfo](), ""
    for step in STEPS:
        made += [folder(f"{at}{DEEP}"), link(f"{at}{step}", DEEP)]
        at += f"{DEEP}/"
    long = "/".join([*STEPS, "l" * 254])
    return [*made, link(long, "../" * len(STEPS)), link("out", f"{long}/../../outside"), file("out/file")]


BAD = {
    "above": [file("../outside/file")],
    "above, from within": [file("a/../../outside/file")],
    "an absolute name": [file("/outside/file")],
    "an absolute link": [link("a", "/etc/passwd")],
    "a link above": [link("a/b", "../../outside")],
    "through a link": [folder("a"), link("x", "a"), file("x/file")],
    "through a link of its own": [link("x", "."), link("x/x", ".."), file("x/x/outside/file")],
    "through a long link": led_out(),
    "a hard link above": [member("a", tarfile.LNKTYPE, "../outside/secret")],
    "an absolute hard link": [member("a", tarfile.LNKTYPE, "/etc/passwd")],
    "a hard link to nothing": [member("a", tarfile.LNKTYPE, "b")],
    "a device": [member("a", tarfile.CHRTYPE, devmajor=1, devminor=3)],
    "a pipe": [member("a", tarfile.FIFOTYPE)],
    "the folder itself": [link(".", "/etc")],
    "a file in the folder's place": [file(".")],
}


@pytest.fixture
def into(tmp_path: Path) -> Path:
    """A folder of the user's, beside others."""
    for name in ("into", "outside"):
        (tmp_path / name).mkdir()
    (tmp_path / "outside" / "secret").write_text("secret")
    return tmp_path / "into"


def untouched(into: Path) -> bool:
    outside = into.parent / "outside"
    return [each.name for each in outside.iterdir()] == ["secret"] and (outside / "secret").read_text() == "secret"


@pytest.mark.parametrize("members", BAD.values(), ids=BAD)
def test_what_would_be_elsewhere_is_refused(into: Path, members: list[TarInfo]) -> None:
    with pytest.raises(ArchiveRefused):
        unpack(packed(into.parent, *members), into)
    assert untouched(into)


def test_what_the_user_has_there_is_replaced_and_never_followed(into: Path) -> None:
    """As an earlier copy may have left it."""
    outside = into.parent / "outside"
    (into / "secret").symlink_to(outside / "secret")
    (into / "twin").hardlink_to(outside / "secret")
    (into / "kept").write_text("kept")
    (into / "away").symlink_to(outside)
    unpack(packed(into.parent, file("secret"), file("twin")), into)
    assert [(into / name).read_text() for name in ("secret", "twin", "kept")] == ["new", "new", "kept"]
    with pytest.raises(ArchiveRefused, match="in the way"):
        unpack(packed(into.parent, file("away/file")), into)
    assert untouched(into)


def test_a_folder_arrives_with_its_links_and_no_more_rights_than_it_may_have(into: Path) -> None:
    whole = [folder("."), folder("./a"), file("./a/file"), member("./twin", tarfile.LNKTYPE, "./a/file")]
    unpack(packed(into.parent, *whole, link("./a/up", "../a/file"), link("./none", "a/none")), into / "new")
    made = into / "new"
    assert [(made / name).read_text() for name in ("a/file", "twin", "a/up")] == ["new"] * 3
    assert (made / "a/file").stat().st_mode & 0o7777 == 0o644
    assert (made / "a/file").stat().st_ino == (made / "twin").stat().st_ino
    assert (made / "none").readlink() == Path("a/none")


@pytest.mark.parametrize(
    "spoilt",
    [
        lambda tar: tar[:700],
        lambda tar: b"x" * 4096,
        gzip.compress,
        lambda tar: tar[:124] + b"\xff" * 11 + b"\0" + tar[136:],  # a size below nothing (CVE-2025-8194)
    ],
)
def test_what_is_no_whole_tar_is_refused(into: Path, spoilt: Callable[[bytes], bytes]) -> None:
    at = packed(into.parent, file("a"), file("b"))
    at.write_bytes(spoilt(at.read_bytes()))
    with pytest.raises(ArchiveRefused):
        unpack(at, into)
    assert untouched(into)


def test_a_time_that_no_file_has_is_passed_over(into: Path) -> None:
    for number, when in enumerate(("nan", "1e300", "-1e300")):
        unpack(packed(into.parent, member(f"{number}", size=3, pax_headers={"mtime": when})), into)
        assert (into / f"{number}").read_text() == "new"
