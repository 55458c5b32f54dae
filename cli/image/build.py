"""Building `linux-default`: from Debian's packages to a whole image in the store."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Callable
from pathlib import Path

from cli.image import disk, initrd, recipe, rootfs
from cli.image.log import Log
from core import images
from core.contract.errors import CorralError
from core.contract.images import Manifest, read

FILES = ("vmlinuz", "release", "installed", "downloaded")


def build(store: Path, say: Callable[[str], None], *, force: bool = False) -> Manifest:
    """The image, built unless the store has one of the same recipe; `say` hears of each step.

    Errors: `BuildFailed` with the end of the log.
    """
    store.mkdir(parents=True, exist_ok=True)
    key = recipe.key()
    with images.locked(store, recipe.NAME, say):
        found = _existing(store)
        if found and found.facts.get("recipe") == key and not force:
            say(f"{recipe.NAME} is there already: {store / recipe.NAME}")
            return found
        log = Log(store / f"{recipe.NAME}.log", say)
        with images.staging(store) as work:
            manifest = _make(work, key, log)
            with log.step("putting it into the store"):
                images.publish(store, work / "image", manifest)
        log.say(f"{recipe.NAME} is ready: {store / recipe.NAME}")
    return manifest


def _existing(store: Path) -> Manifest | None:
    try:
        return read(store, recipe.NAME)
    except CorralError:
        return None


def _make(work: Path, key: str, log: Log) -> Manifest:
    root, image = work / "root.tar", work / "image"
    image.mkdir()
    with log.step("fetching and installing Debian's packages"):
        rootfs.build(root, work, log)
    with log.step("making kernel and initial ramdisk"):
        facts = _unpack(root, image)
    with log.step("making the disk"):
        disk.build(image / "disk.qcow2", root, work, log)
    return Manifest(
        name=recipe.NAME,
        os_type="linux",
        format="qcow2",
        disk=images.described(image / "disk.qcow2"),
        disk_size_gb=recipe.DISK_GB,
        kernel=images.described(image / "vmlinuz"),
        initrd=images.described(image / "initrd"),
        cmdline=recipe.CMDLINE,
        guest_agent=True,
        description="Debian 12 with an SSH server and the QEMU guest agent",
        facts={"recipe": key, **facts},
    )


def _unpack(root: Path, image: Path) -> dict[str, object]:
    """Write vmlinuz and initrd from the tar; what is worth knowing about them."""
    with tarfile.open(root) as tar:
        members = {Path(member.name).name: member for member in tar if _wanted(member)}

        def content(name: str) -> bytes:
            file = tar.extractfile(members[name])
            return file.read() if file else b""

        release = content("release").decode().strip()
        modules = {name: content(f"{name}.ko") for name in recipe.MODULES}
        (image / "vmlinuz").write_bytes(content("vmlinuz"))
        initrd.build(image / "initrd", content("busybox"), release, modules)
        packages = content("installed") + content("downloaded")
        return {
            "kernel": release,
            "packages": len(packages.splitlines()),
            "packages_sha256": hashlib.sha256(packages).hexdigest(),
        }


def _wanted(member: tarfile.TarInfo) -> bool:
    path = Path(member.name)
    if member.name.startswith(disk.STAGING):
        return path.name in FILES or member.name.endswith("/bin/busybox")
    return path.suffix == ".ko" and path.stem in recipe.MODULES
