"""Building `linux-default`: from Debian's packages to a whole image in the store."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Callable
from pathlib import Path

from cli.image import disk, initrd, recipe, rootfs
from cli.image.log import Log
from core import images
from core.contract.errors import Conflict, CorralError
from core.contract.images import ImageManifest, read

FILES = ("vmlinuz", "release", "installed", "downloaded")


def build(store: Path, say: Callable[[str], None], *, force: bool = False) -> ImageManifest:
    """The image, built unless the store has one of the same recipe; `say` hears of each step.

    Errors: `BuildFailed` with the end of the log; `Conflict` when the name is taken by an image of someone's own.
    """
    found = _existing(store, force)
    if found is None:
        store.mkdir(parents=True, exist_ok=True)
        with images.locked(store, "build", say):
            # Another process may have built it while we waited.
            found = _existing(store, force) or _built(store, say)
    else:
        say(f"{recipe.NAME} is there already: {store / recipe.NAME}")
    return found


def _built(store: Path, say: Callable[[str], None]) -> ImageManifest:
    log = Log(store / f"{recipe.NAME}.log", say)
    with images.staging(store) as work:
        manifest = _make(work, log)
        with log.step("putting it into the store"), images.locked(store, images.STORE):
            images.publish(store, work / "image", manifest)
    log.say(f"{recipe.NAME} is ready: {store / recipe.NAME}")
    return manifest


def _existing(store: Path, force: bool) -> ImageManifest | None:
    """The image of this recipe, if the store has it."""
    if force:
        return None
    try:
        found = read(store, recipe.NAME)
    except CorralError:
        return None
    if "recipe" not in found.facts:
        raise Conflict(f"{recipe.NAME} is an image of your own: remove it first, or build with --force to replace it")
    return found if found.facts["recipe"] == recipe.key() else None


def _make(work: Path, log: Log) -> ImageManifest:
    root, image = work / "root.tar", work / "image"
    image.mkdir()
    with log.step("fetching and installing Debian's packages"):
        rootfs.build(recipe.root(), root, work, log)
    with log.step("making kernel and initial ramdisk"):
        facts = _unpack(root, image)
    with log.step("making the disk"):
        disk.build(image / "disk.qcow2", root, work, log, uuid=recipe.UUID, size_gb=recipe.DISK_GB)
    return ImageManifest(
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
        facts={"recipe": recipe.key(), **facts},
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
        init = (recipe.GUEST / "init").read_bytes()
        initrd.build(
            image / "initrd",
            init=init,
            busybox=content("busybox"),
            release=release,
            modules=modules,
            files={"sbin/e2fsck": content("e2fsck.static")}
            | {f"lib/vsock/{name}.ko": content(f"{name}.ko") for name in recipe.VSOCK},
        )
        packages = content("installed") + content("downloaded")
        return {
            "kernel": release,
            "packages": len(packages.splitlines()),
            "packages_sha256": hashlib.sha256(packages).hexdigest(),
        }


def _wanted(member: tarfile.TarInfo) -> bool:
    path = Path(member.name)
    if member.name.startswith(disk.STAGING):
        return path.name in FILES or member.name.endswith(("/bin/busybox", "/sbin/e2fsck.static"))
    return path.suffix == ".ko" and path.stem in (*recipe.MODULES, *recipe.VSOCK)
