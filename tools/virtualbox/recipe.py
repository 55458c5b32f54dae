"""The recipe of the root, and the key of its build."""

from __future__ import annotations

import hashlib
from pathlib import Path

SUITE = "sid"
MIRROR = "deb http://deb.debian.org/debian sid main contrib"
# The second stands in for virtualbox-dkms, which would bring a compiler: no VM runs in here.
PACKAGES = ("virtualbox", "virtualbox-source")
APT_OPTIONS = ('Acquire::Check-Valid-Until "false"',)  # a mirror that is kept as of one day is past its date
EXCLUDED = (
    "/usr/include/*",
    "/usr/lib/gcc/*",
    "/usr/lib/x86_64-linux-gnu/*.a",
    "/usr/lib/x86_64-linux-gnu/libLLVM*",
    "/usr/lib/x86_64-linux-gnu/libgallium*",
    "/usr/libexec/gcc/*",
    "/usr/share/doc/*",
    "/usr/share/info/*",
    "/usr/share/locale/*",
    "/usr/share/man/*",
    "/usr/src/*",
)
VBOXMANAGE = "/usr/lib/virtualbox/VBoxManage"  # Debian's script around it removes the sockets of other users' servers


def key() -> str:
    """The root's name in the cache: over all that decides what is in it, except for the versions Debian has today."""
    code = Path(__file__).parent
    content = b"".join((code / f"{name}.py").read_bytes() for name in ("recipe", "root"))
    return hashlib.sha256(content).hexdigest()[:16]
