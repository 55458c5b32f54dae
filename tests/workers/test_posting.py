"""POSTs to URLs that strangers chose."""

from __future__ import annotations

import socket
import threading
from ipaddress import ip_network
from pathlib import Path

import pytest

from core.services.webhooks.reach import may_reach
from tests.support.certificates import certificate
from tests.support.receivers import receiver
from workers import posting
from workers.posting import NotPosted, post

LOOPBACK = [ip_network("127.0.0.0/8")]


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.9.9.9", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "0.0.0.0",  # noqa: S104
        "224.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1", "::1", "::", "fe80::1", "fe80::1%eth0", "fd00::1",
        "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1", "64:ff9b::a00:1",
        "64:ff9b:1::1", "fec0::1", "::127.0.0.1",
    ],
)  # fmt: skip
def test_addresses_that_are_not_of_the_internet_are_refused(address: str) -> None:
    assert not may_reach(address, [])


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700:4700::1111", "::ffff:1.1.1.1"])
def test_those_of_the_internet_are_not(address: str) -> None:
    assert may_reach(address, [])


def test_what_the_operator_allows_is_not_either() -> None:
    assert may_reach("10.1.2.3", [ip_network("10.1.0.0/16")])
    assert not may_reach("10.2.2.3", [ip_network("10.1.0.0/16")])


@pytest.mark.parametrize("host", ["localhost", "127.1", "2130706433", "0x7f000001", "[::1]", "0"])
def test_other_spellings_lead_to_the_same_address(host: str) -> None:
    with receiver() as received:
        port = received.url.rpartition(":")[2]
        with pytest.raises(NotPosted):
            post(f"http://{host}:{port}/", b"{}", {}, [])
        assert received.sent == []


def test_the_host_header_is_that_of_the_url() -> None:
    with receiver() as received:
        port = received.url.rpartition(":")[2]
        assert post(f"http://localhost:{port}/a?b=c", b"{}", {"X-A": "b"}, [*LOOPBACK, ip_network("::1")]) == 204
        (sent,) = received.sent
        assert (sent.path, sent.headers["host"], sent.headers["x-a"]) == ("/a?b=c", f"localhost:{port}", "b")


@pytest.mark.parametrize("answer", [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b""])
def test_a_receiver_that_trickles_is_cut_off(answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Byte for byte it would never be late for a read."""
    monkeypatch.setattr(posting, "SECONDS", 1.0)
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def trickle() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(answer)
                try:
                    while not ended.wait(0.1):
                        connection.sendall(b"x" if answer else b"")
                except OSError:
                    return

        thread = threading.Thread(target=trickle)
        thread.start()
        try:
            with pytest.raises(NotPosted, match="in time"):
                post(f"http://127.0.0.1:{server.getsockname()[1]}/", b"{}", {}, LOOPBACK)
        finally:
            ended.set()
            thread.join()


def test_certificates_are_verified_for_the_name_of_the_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = certificate(tmp_path)
    with receiver(made) as received:
        with pytest.raises(NotPosted, match="its certificate does not hold"):
            post(received.url, b"{}", {}, LOOPBACK)
        monkeypatch.setenv("SSL_CERT_FILE", str(made.file))
        assert post(received.url, b"{}", {}, LOOPBACK) == 204
        with pytest.raises(NotPosted, match="its certificate does not hold"):
            post(received.url.replace("127.0.0.1", "localhost"), b"{}", {}, [*LOOPBACK, ip_network("::1")])
        assert len(received.sent) == 1


def test_what_is_no_http_is_no_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def speak() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"-ERR unknown command\r\n")

        thread = threading.Thread(target=speak)
        thread.start()
        with pytest.raises(NotPosted, match="no HTTP"):
            post(f"http://127.0.0.1:{server.getsockname()[1]}/", b"{}", {}, LOOPBACK)
        thread.join()


def test_a_refused_connection_is_told_without_an_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(NotPosted, match="the connection was refused"):
        post(f"http://127.0.0.1:{port}/", b"{}", {}, LOOPBACK)
