"""Through a forwarded port to a listener in a real guest."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import replace

from agent.drivers.base import DriverFolders
from agent.drivers.qemu import QemuDriver
from agent.network.network import HostNetworking
from core.contract.messages import Forward, VmSpec
from tests.contract.test_port_forwards import free_port
from tests.qemu.conftest import LONG, Run
from tests.support.waiting import until

# By hand, as a boot under emulation may answer minutes before it has come to its network and its services.
NETWORK = (
    "modprobe virtio_net; for each in /sys/class/net/e*; do ip link set ${each##*/} up;"
    " ip addr replace 10.0.2.15/24 dev ${each##*/}; done"
)
TCP_GREETER = (
    "use Socket; socket(S, PF_INET, SOCK_STREAM, 0); bind(S, sockaddr_in(9, INADDR_ANY)) or die; listen(S, 9);"
    ' while (accept(C, S)) { syswrite(C, "welcome"); close(C) }'
)
UDP_ECHO = (
    "use Socket; socket(S, PF_INET, SOCK_DGRAM, 0); bind(S, sockaddr_in(7, INADDR_ANY)) or die;"
    " while ($from = recv(S, $said, 99, 0)) { send(S, $said, 0, $from) }"
)


def test_bytes_reach_the_guest_and_come_back(
    place: DriverFolders, driver: QemuDriver, running: VmSpec, run: Run
) -> None:
    assert run(NETWORK).exit_code == 0
    for server in (TCP_GREETER, UDP_ECHO):
        run(f"setsid perl -e '{server}' </dev/null >/dev/null 2>&1 &")
    web, echo = Forward("tcp", free_port(), 9), Forward("udp", free_port("udp"), 7)
    driver.set_port_forwards(replace(running, forwards=[web, echo]), LONG)
    assert _heard(lambda: _greeting("127.0.0.1", web.host_port)) == b"welcome"
    assert _heard(lambda: _echoed(echo.host_port)) == b"there and back"
    elsewhere = QemuDriver(
        replace(place, network=HostNetworking("127.0.0.2"))
    )  # an agent started anew, with another address
    elsewhere.set_port_forwards(replace(running, forwards=[echo]), LONG)
    elsewhere.set_port_forwards(replace(running, forwards=[echo, web]), LONG)
    assert _heard(lambda: _greeting("127.0.0.2", web.host_port)) == b"welcome"
    driver.set_port_forwards(running, LONG)
    assert driver.port_forwards(running.id) == []
    with socket.socket() as refused:
        assert refused.connect_ex(("127.0.0.1", web.host_port)) != 0


def _heard(ask: Callable[[], bytes]) -> bytes:
    """The first answer: the guest may still be about to have an address, and to listen."""
    said: bytes = until(ask, despite=OSError)
    return said


def _greeting(address: str, port: int) -> bytes:
    with socket.create_connection((address, port), 5) as connection:
        return connection.recv(8)


def _echoed(port: int) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(0.5)
        asking.sendto(b"there and back", ("127.0.0.1", port))
        return asking.recv(99)
