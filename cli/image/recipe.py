"""The recipe of `linux-default`, and the key of its build."""

from __future__ import annotations

import hashlib
from pathlib import Path

from cli.image.rootfs import Root, files_below

NAME = "linux-default"
SUITE = "bookworm"
GUEST = Path(__file__).parent / "guest"
FILES = GUEST / "files"
MIRRORS = tuple((FILES / "etc/apt/sources.list").read_text().splitlines())

PACKAGES = (
    "ca-certificates",
    "dbus",
    "iproute2",
    "kmod",
    "libnss-myhostname",
    "openssh-server",
    "qemu-guest-agent",
    "systemd-resolved",
    "systemd-sysv",
    "udev",
)

# In the order in which they must be loaded; the kernel itself has ext4.
MODULES = (
    "virtio_ring",
    "virtio",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "virtio_blk",
    "virtio_console",
    "failover",
    "net_failover",
    "virtio_net",
)

# In that order too, and only in a machine that has a vsock.
VSOCK = ("vsock", "vmw_vsock_virtio_transport_common", "vmw_vsock_virtio_transport")

# The self-tests of ciphers cost an emulated processor half a second at every boot.
CMDLINE = "root=/dev/vda rw console=ttyS0 quiet cryptomgr.notests net.ifnames=0"
DISK_GB = 2
# Fixed, as all that would differ from one build to the next.
UUID = "5b1d1c2e-0f4c-5a53-9c43-0d6b2f6f7c11"


def root() -> Root:
    """Its root file system."""
    return Root(SUITE, MIRRORS, PACKAGES, files_below(FILES), GUEST / "customize.sh")


def key() -> str:
    """SHA-256 over all that decides how the image is made, except for the versions that Debian has today."""
    code = Path(__file__).parent
    parts = {name: code / f"{name}.py" for name in ("build", "disk", "initrd", "recipe", "rootfs")}
    parts.update({f"guest/{path.relative_to(GUEST)}": path for path in GUEST.rglob("*") if path.is_file()})
    digest = hashlib.sha256()
    for name, path in sorted(parts.items()):
        content = path.read_bytes()
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()
