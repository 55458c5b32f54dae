"""Checks that a port of the host is free, by taking it for a moment."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable

from core.contract.errors import DriverFailure
from core.contract.messages import Forward

LOOPBACK = "127.0.0.1"
_KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


class PortTaken(DriverFailure):
    """Another program of the host has that port."""

    code = "port_taken"


def must_be_free(address: str, forwards: Iterable[Forward]) -> None:
    """`PortTaken` names the first port that someone has; `DriverFailure` when the host has no such address."""
    for forward in forwards:
        try:
            _take(address, forward)
        except OSError as error:
            where = f"{forward.protocol} port {forward.host_port} of {address}"
            if error.errno == errno.EADDRINUSE:
                raise PortTaken(f"{where} is taken by another program of the host: choose another") from None
            raise DriverFailure(f"the host can't listen on {where}: {error.strerror}") from None


def _take(address: str, forward: Forward) -> None:
    with socket.socket(socket.AF_INET, _KINDS[forward.protocol]) as taken:
        if forward.protocol == "tcp":
            # Connections of a former listener may linger; for UDP the option would let two have the port at once.
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind((address, forward.host_port))
        if forward.protocol == "tcp":
            taken.listen(1)
