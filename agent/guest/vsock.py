"""The vsock channel to a guest agent, by the unix socket that its hypervisor serves.

Who connects says which port is meant, and is told that it is there: "CONNECT 1024", "OK 1073741824". Where no one
listens in the guest, the hypervisor hangs up. docs/vsock.md of https://github.com/cloud-hypervisor/cloud-hypervisor
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path

from agent.system import sockets

SOCKET = "run/vsock.sock"
PORT = 1024  # as cli/image/guest has it
MOST_BYTES = 64
ATTEMPT_SECONDS, AGAIN_SECONDS = 2.0, 0.05


class NotListening(OSError):
    """The hypervisor is there, and nobody in the guest, or not yet."""


def reach(folder: Path, timeout: float, tick: Callable[[], None] | None) -> socket.socket:
    """As `connect`, once somebody listens; `tick` is called meanwhile, and may raise."""
    deadline = time.monotonic() + timeout
    while True:
        left = deadline - time.monotonic()
        try:
            return connect(folder, min(ATTEMPT_SECONDS, max(0.01, left)))
        except NotListening:
            if left <= AGAIN_SECONDS:
                raise
        if tick is not None:
            tick()
        time.sleep(AGAIN_SECONDS)


def connect(folder: Path, timeout: float, port: int = PORT) -> socket.socket:
    """A stream to the guest's agent. `NotListening`, or another `OSError` when no VM is there."""
    deadline = time.monotonic() + timeout
    stream = sockets.connect(folder / SOCKET, max(0.01, timeout))
    try:
        stream.sendall(f"CONNECT {port}\n".encode())
        said = b""
        while not said.endswith(b"\n"):
            stream.settimeout(max(0.01, deadline - time.monotonic()))
            some = stream.recv(1)  # what follows the line is the guest's
            if not some or len(said) > MOST_BYTES:
                raise NotListening(f"nothing listens on port {port} in the guest")
            said += some
        if not said.startswith(b"OK"):
            raise NotListening(f"nothing listens on port {port} in the guest")
    except TimeoutError:
        stream.close()
        raise NotListening("the guest does not take the connection") from None
    except ConnectionError as error:
        stream.close()
        raise NotListening(str(error)) from None
    except BaseException:
        stream.close()
        raise
    return stream
