"""A Redis over TLS: its certificate is verified by whatever comes to it, or the address is refused at the start."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import redis
from kombu import pools
from kombu.exceptions import OperationalError

from agent.broker.app import create_app
from agent.broker.connection import connect
from cli.fleet import ports
from core.dispatch import Dispatch
from core.redis_urls import checked
from tests.support.certificates import Certificate, certificate
from tests.support.waiting import until

PASSWORD = "s3cret-of-redis"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """The server's."""
    return certificate(tmp_path_factory.mktemp("redis-tls"))


@pytest.fixture(scope="module")
def place(own: Certificate) -> Iterator[str]:
    """A real Redis that speaks TLS alone."""
    port = ports.choose()
    options = [
        f"--tls-port {port}",
        "--port 0",
        "--bind 127.0.0.1",
        "--tls-auth-clients no",
        f"--requirepass {PASSWORD}",
    ]
    files = [f"--tls-cert-file {own.file}", f"--tls-key-file {own.key}", "--save ''", f"--dir {own.file.parent}"]
    words = [word for option in (*options, *files) for word in option.split(" ", 1)]
    server = subprocess.Popen(["redis-server", *words], stdout=subprocess.DEVNULL)
    until(lambda: not ports.is_free(port))
    yield f"127.0.0.1:{port}"
    server.terminate()
    server.wait()


def by_library(url: str) -> bool:
    with Dispatch(url).redis as client:
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False


def by_agent(url: str) -> bool:
    with connect(url, "agent") as client:
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False


def by_sender(url: str) -> bool:
    pools.reset()  # type: ignore[no-untyped-call]  # kombu takes addresses that differ in their query for one
    return Dispatch(url).wake("corral.sweep")


def by_worker(url: str) -> bool:
    with suppress(OperationalError, redis.ConnectionError), create_app("host", url).connection() as connection:
        connection.ensure_connection(max_retries=1, interval_start=0)
        return bool(connection.default_channel.client.ping())
    return False


WAYS = [by_library, by_agent, by_sender, by_worker]


@pytest.mark.parametrize("way", WAYS)
def test_a_certificate_that_nobody_vouches_for_is_refused(place: str, way: Callable[[str], bool]) -> None:
    assert not way(checked(f"rediss://:{PASSWORD}@{place}/0"))


@pytest.mark.parametrize("way", WAYS)
def test_one_of_another_authority_is_refused(place: str, tmp_path: Path, way: Callable[[str], bool]) -> None:
    others = certificate(tmp_path, "others")
    assert not way(checked(f"rediss://:{PASSWORD}@{place}/0?ssl_ca_certs={others.file}"))


@pytest.mark.parametrize("way", WAYS)
def test_one_of_another_name_is_refused(place: str, own: Certificate, way: Callable[[str], bool]) -> None:
    elsewhere = place.replace("127.0.0.1", "localhost")
    assert not way(checked(f"rediss://:{PASSWORD}@{elsewhere}/0?ssl_ca_certs={own.file}"))


@pytest.mark.parametrize("way", WAYS)
def test_the_server_s_own_is_accepted(place: str, own: Certificate, way: Callable[[str], bool]) -> None:
    assert way(checked(f"rediss://:{PASSWORD}@{place}/0?ssl_ca_certs={own.file}"))


@pytest.mark.parametrize("query", ["", "?ssl_cert_reqs=CERT_REQUIRED", "?health_check_interval=5"])
def test_an_address_asks_for_what_both_libraries_verify(query: str) -> None:
    assert "ssl_cert_reqs=required" in checked(f"rediss://redis.example/0{query}")


NOT_VERIFIED = ["ssl_cert_reqs=none", "ssl_cert_reqs=CERT_NONE", "ssl_cert_reqs=optional", "ssl_check_hostname=false"]


@pytest.mark.parametrize("query", NOT_VERIFIED)
def test_an_address_that_asks_for_less_is_refused(query: str) -> None:
    with pytest.raises(ValueError, match="must be verified"):
        checked(f"rediss://redis.example/0?{query}")


def test_an_authority_that_is_not_there_is_told_of() -> None:
    with pytest.raises(ValueError, match=r"no file /nowhere/ca\.pem"):
        checked("rediss://redis.example/0?ssl_ca_certs=/nowhere/ca.pem")


@pytest.mark.parametrize(
    "program", [["-m", "agent", "--name=h"], ["-c", "import workers.app"], ["-c", "import api.wsgi"]]
)
@pytest.mark.parametrize("variable", ["REDIS_URL", "CORRAL_AGENT_REDIS_URL"])
def test_every_part_refuses_it_at_its_start(program: list[str], variable: str, tmp_path: Path) -> None:
    given = {
        "DATABASE_URL": "postgresql://",
        "REDIS_URL": "redis://",
        variable: "rediss://redis.example?ssl_cert_reqs=none",
    }
    environment = {**os.environ, "CORRAL_HOME": str(tmp_path), **given}
    command = [sys.executable, *program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.strip().startswith(f"{variable}: the certificate of Redis must be verified")
