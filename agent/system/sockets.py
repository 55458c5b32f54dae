"""Connects to unix sockets, however deep the folder they are in."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def connect(path: Path, timeout: float) -> socket.socket:
    """A stream connected to the socket at `path`; `OSError` when nobody listens or `timeout` seconds have passed.

    A unix socket's address holds 107 bytes. A folder's descriptor is a short name for any folder.
    """
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    stream.settimeout(timeout)
    folder = -1
    try:
        folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        stream.connect(f"/proc/self/fd/{folder}/{path.name}")
    except BaseException:
        stream.close()
        raise
    finally:
        if folder >= 0:
            os.close(folder)
    return stream
