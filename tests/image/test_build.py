"""A build is found again, replaces what is old, and says what went wrong; the drivers' tests boot the real one."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.image import build as building
from cli.image import disk, recipe
from cli.image.commands import store
from cli.image.log import BuildFailed, Log
from cli.image.rootfs import EPOCH
from core import images
from core.contract.errors import Conflict
from core.contract.images import ImageManifest, names, read
from tests import disks
from tests.support.waiting import until


def put(store: Path, *, facts: dict[str, object], content: bytes = b"old") -> ImageManifest:
    """An image called linux-default that was not built."""
    store.mkdir(exist_ok=True)
    with images.staging(store) as work:
        folder = work / "image"
        folder.mkdir()
        (folder / "disk.qcow2").write_bytes(content)
        manifest = ImageManifest(
            recipe.NAME, "linux", "qcow2", images.described(folder / "disk.qcow2"), recipe.DISK_GB, facts=facts
        )
        images.publish(store, folder, manifest)
    return manifest


def test_one_of_the_same_recipe_is_found_at_once(tmp_path: Path) -> None:
    there = put(tmp_path, facts={"recipe": recipe.key()})
    said: list[str] = []
    assert building.build(tmp_path, said.append) == there
    (line,) = said
    assert "is there already" in line


def test_one_of_an_older_recipe_is_replaced_and_linked_disks_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = put(tmp_path, facts={"recipe": "older"})
    (tmp_path / "vm-disk").hardlink_to(tmp_path / recipe.NAME / "disk.qcow2")

    def make(work: Path, _log: Log) -> ImageManifest:
        (work / "image").mkdir()
        (work / "image" / "disk.qcow2").write_bytes(b"new")
        described = images.described(work / "image" / "disk.qcow2")
        return ImageManifest(recipe.NAME, "linux", "qcow2", described, recipe.DISK_GB, facts={"recipe": recipe.key()})

    monkeypatch.setattr(building, "_make", make)
    new = building.build(tmp_path, lambda _: None)
    assert read(tmp_path, recipe.NAME) == new != old
    assert (tmp_path / recipe.NAME / "disk.qcow2").read_bytes() == b"new"
    assert (tmp_path / "vm-disk").read_bytes() == b"old"


def test_an_image_of_the_users_own_is_not_replaced(tmp_path: Path) -> None:
    own = put(tmp_path, facts={})
    with pytest.raises(Conflict, match="your own"):
        building.build(tmp_path, lambda _: None)
    assert read(tmp_path, recipe.NAME) == own


def test_the_key_depends_on_every_file_of_the_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nested = tmp_path / "files" / "etc"
    nested.mkdir(parents=True)
    (nested / "one").write_text("1")
    monkeypatch.setattr(recipe, "GUEST", tmp_path)
    key = recipe.key()
    assert recipe.key() == key
    (nested / "one").write_text("2")
    assert recipe.key() != key


def test_a_failed_step_shows_the_end_of_its_log(tmp_path: Path) -> None:
    log = Log(tmp_path / "log", lambda _: None)
    with pytest.raises(BuildFailed, match="exit code 3") as failed:
        log.run(["sh", "-c", "echo first; echo E: no space left >&2; exit 3"], timeout=10, env=dict(os.environ))
    assert "    E: no space left" in failed.value.message
    assert str(tmp_path / "log") in failed.value.message


def test_a_step_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    log = Log(tmp_path / "log", lambda _: None)
    with pytest.raises(BuildFailed, match="within 1 seconds"):
        log.run(["sleep", "3600"], timeout=1, env=dict(os.environ))


def test_a_missing_program_is_named(tmp_path: Path) -> None:
    with pytest.raises(BuildFailed, match="no-such-program is not installed"):
        Log(tmp_path / "log", lambda _: None).run(["no-such-program"], timeout=1, env={"PATH": "/usr/bin"})


def test_a_build_told_to_end_takes_its_programs_and_files_along(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    fake = programs / "mmdebstrap"
    fake.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\necho 'I: fetching...' >&2\nexec sleep 60\n")
    fake.chmod(0o755)
    store = tmp_path / "store"
    build = subprocess.Popen(
        [sys.executable, "-c", "from cli.image.commands import image; image()", "build"],
        env={**os.environ, "CORRAL_IMAGES": str(store), "PATH": f"{programs}:{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert build.stdout is not None
    for line in build.stdout:
        if "fetching..." in line:
            break
    build.send_signal(signal.SIGTERM)
    build.communicate(timeout=20)
    assert build.returncode == 143
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
    assert names(store) == []
    assert list(store.glob(f"{images.STAGING}*")) == []


def small_root(path: Path) -> Path:
    """A root file system with an owner, a set-uid program, a link, a name with a space, and our staging folder."""
    with tarfile.open(path, "w") as tar:
        for name, kind, more in (
            ("./", tarfile.DIRTYPE, {"mode": 0o755}),
            ("./bin/", tarfile.DIRTYPE, {"mode": 0o755}),
            ("./bin/su", tarfile.REGTYPE, {"mode": 0o4755}),
            ("./bin/sh", tarfile.SYMTYPE, {"linkname": "su"}),
            ("./var with space/", tarfile.DIRTYPE, {"mode": 0o700, "uid": 101, "gid": 102}),
            ("./corral/", tarfile.DIRTYPE, {"mode": 0o755}),
            ("./corral/vmlinuz", tarfile.REGTYPE, {}),
        ):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mtime = kind, EPOCH
            for field, value in more.items():
                setattr(entry, field, value)
            content = b"content" if kind == tarfile.REGTYPE else b""
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return path


def _later_than(moment: float) -> Callable[[], bool]:
    """Whether the clock shows another second than it did then."""
    return lambda: int(time.time()) > int(moment)


def test_the_same_tar_makes_the_same_disk_with_its_owners_and_modes(tmp_path: Path) -> None:
    root = small_root(tmp_path / "root.tar")
    made = []
    for name in ("a", "b"):
        work = tmp_path / name
        work.mkdir()
        disk.build(
            work / "disk.qcow2", root, work, Log(work / "log", lambda _: None), uuid=recipe.UUID, size_gb=recipe.DISK_GB
        )
        made.append((work / "disk.qcow2").read_bytes())
        until(_later_than(time.time()))  # times of access and change would differ by a second
    assert made[0] == made[1]
    raw = str(tmp_path / "a" / "disk.raw")
    assert subprocess.run(["/usr/sbin/e2fsck", "-fn", raw], capture_output=True, check=False).returncode == 0

    def stat(path: str) -> str:
        command = ["/usr/sbin/debugfs", "-R", f'stat "{path}"', raw]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert "Mode:  04755" in stat("/bin/su")
    assert "User:   101   Group:   102" in stat("/var with space")
    assert "Inode:" not in stat("/corral/vmlinuz")


def test_the_commands_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORRAL_IMAGES", str(tmp_path / "store"))
    (tmp_path / "d").write_bytes(disks.bootable())
    run = CliRunner()
    added = run.invoke(store, ["add", "mine", "--disk", str(tmp_path / "d"), "--description", "My own"])
    assert added.exit_code == 0, added.output
    assert "My own" in run.invoke(store, ["list"]).output
    assert json.loads((tmp_path / "store" / "mine" / "manifest.json").read_text())["format"] == "raw"
    assert run.invoke(store, ["remove", "mine"]).exit_code == 0
    assert run.invoke(store, ["list"]).output == ""
