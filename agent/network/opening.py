"""Opens taps in the network namespace in which it runs, and passes them on over an inherited socket.

A program of its own, standard library only; what it opens is ready for virtio (tuntap.rst of the kernel).
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import sys

DEVICE = "/dev/net/tun"
TUNSETIFF = 0x400454CA
TAP, NO_PACKET_INFORMATION, VIRTIO_HEADER = 0x0002, 0x1000, 0x4000


def opened(name: str) -> int:
    """The tap of that name, which is made if it is not there, and then is gone once it is closed."""
    descriptor = os.open(DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        flags = TAP | NO_PACKET_INFORMATION | VIRTIO_HEADER
        fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def main(number: str, *names: str) -> None:
    """Sends them all at once, in that order."""
    with socket.socket(fileno=int(number)) as receiver:
        socket.send_fds(receiver, [b"taps"], [opened(name) for name in names])


if __name__ == "__main__":
    main(*sys.argv[1:])
