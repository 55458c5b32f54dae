"""The recipe of the lab: two hosts, sid's programs beside them, and the key of each build."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

from cli.image.rootfs import Root, files_below
from core import settings

HERE = Path(__file__).parent
HOST = HERE / "host"
GUEST = HERE / "guest"
REQUIREMENTS = HERE.parents[1] / "requirements.txt"

BOOKWORM = (
    "deb http://deb.debian.org/debian bookworm main",
    "deb http://deb.debian.org/debian-security bookworm-security main",
)
SID = ("deb http://deb.debian.org/debian sid main contrib",)
# A mirror may be of a certain day, and past the date that its Release file gives it.
ANY_DATE = ('Acquire::Check-Valid-Until "false"',)
BASE = ("busybox-static", "iproute2", "kmod", "linux-image-cloud-amd64", "python3")

# What of our dependencies the agent imports; their versions are those of requirements.txt.
AGENT_NEEDS = (
    "async-timeout",
    "celery",
    "cryptography",
    "kombu",
    "msgspec",
    "packaging",
    "prometheus-client",
    "psutil",
    "pyroute2",
    "qemu.qmp",
    "redis",
)

# Unpacked alone. The emulator, as bookworm's own emulates AMD-V too slowly, and in a way that VirtualBox's guests get
# stuck in; and VirtualBox's Guest Additions, for those guests.
PROGRAMS = Root(
    "sid",
    SID,
    ("qemu-system-x86", "seabios", "virtualbox-guest-utils"),
    apt_options=ANY_DATE,
    variant="extract",
)


@dataclass(frozen=True)
class LabHost:
    """One host of the lab. `modules` are the kernel's, loaded at boot; `python` is the version that its suite has."""

    name: str
    hypervisors: tuple[str, ...]
    modules: str
    suite: str
    mirrors: tuple[str, ...]
    packages: tuple[str, ...]
    customize: Path
    python: str
    uuid: str
    apt_options: tuple[str, ...] = ()
    memory_mb: int = 2048
    disk_gb: int = 8

    def root(self, site: Path) -> Root:
        """Its root file system, with the agent's dependencies in `site`."""
        ours = files_below(HOST / "files")
        ours |= {f"corral/{name}": HOST / name for name in ("common.sh", "grub.cfg")}
        ours |= {f"usr/lib/corral/site/{name}": path for name, path in files_below(site).items()}
        return Root(self.suite, self.mirrors, self.packages, ours, self.customize, self.apt_options)


KVM = LabHost(
    "lab-kvm",
    ("qemu",),
    "kvm_amd,tun",
    "bookworm",
    BOOKWORM,
    # The last four are for the guests: their kernel, which has more drivers than a host needs, their agent, and the
    # boot loader of those that start from a disk.
    (
        *BASE,
        "qemu-system-x86",
        "qemu-utils",
        "slirp4netns",
        "nftables",
        "linux-image-amd64",
        "qemu-guest-agent",
        "grub-common",
        "grub-pc-bin",
    ),
    HOST / "kvm.sh",
    "3.11",
    "0f7a3a52-7d0c-4f5e-8f5b-3a4a1f0b6c01",
)
VBOX = LabHost(
    "lab-vbox",
    ("virtualbox",),
    "vboxdrv",
    "sid",
    SID,
    # The last two for a VM with a window, and something to show it on.
    (*BASE, "linux-headers-cloud-amd64", "virtualbox", "virtualbox-dkms", "virtualbox-qt", "xvfb"),
    HOST / "vbox.sh",
    "3.14",
    "0f7a3a52-7d0c-4f5e-8f5b-3a4a1f0b6c02",
    ANY_DATE,
)
HOSTS = {host.name: host for host in (KVM, VBOX)}
GIVEN = "cloud-hypervisor"  # which no registry has: the KVM host offers it where this machine has the program


def given() -> Path | None:
    """That program."""
    found = shutil.which(settings.load().cloud_hypervisor)
    return Path(found).absolute() if found else None


def offered(host: LabHost) -> tuple[str, ...]:
    """The hypervisors of a host."""
    return (*host.hypervisors, *([GIVEN] if host is KVM and given() else []))


# A guest's drivers, each after those that it needs: the power button's, virtio, and what VirtualBox's machines have.
GUEST_MODULES = (
    "evdev",
    "button",
    "virtio_ring",
    "virtio",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "virtio_blk",
    "virtio_console",
    "virtio_balloon",
    "failover",
    "net_failover",
    "virtio_net",
    "vsock",
    "vmw_vsock_virtio_transport_common",
    "vmw_vsock_virtio_transport",
    "vboxguest",
    "e1000",
    "scsi_common",
    "scsi_mod",
    "libata",
    "libahci",
    "ahci",
    "crct10dif_common",
    "crc-t10dif",
    "crc64",
    "crc64-rocksoft",
    "t10-pi",
    "sd_mod",
)
GUEST_CMDLINE = "console=ttyS0 quiet cryptomgr.notests mitigations=off nokaslr"
GUEST_IMAGE = "lab-guest"  # a kernel and its ramdisk beside the disk, with a guest agent: for QEMU
DISK_IMAGE = "lab-disk"  # the same on a disk that a BIOS boots: for VirtualBox


def key(part: str) -> str:
    """Of a host, or of "programs": over all that decides what it is, except for the versions that Debian has today."""
    paths = [HERE / "recipe.py", HERE / "build.py", REQUIREMENTS.parent / "cli/image/rootfs.py"]
    if part in HOSTS:
        paths += [HERE / "site.py", HERE / "guests.py", REQUIREMENTS.parent / "cli/image/disk.py", REQUIREMENTS]
        paths += files_below(HOST).values()
    if part == KVM.name:
        paths += files_below(GUEST).values()
    digest = hashlib.sha256(part.encode())
    for path in sorted(paths):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(REQUIREMENTS.parent)}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]
