"""The API behind nginx and behind Caddy, as deploy/proxy has them: nothing is lost, held back or made up on the way."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from requests.adapters import HTTPAdapter
from simple_websocket import Client as Socket
from simple_websocket.ws import Base

from cli.fleet.fleet import Fleet
from tests.disks import bootable
from tests.support.clients import Client, administrator, new_user
from tests.support.contents import noise
from tests.support.guests import Guest
from tests.support.proxies import Proxy, running
from tests.support.waiting import until

MB = 1 << 20
ELSEWHERE = "127.0.0.5"
"""Another address of this machine, which no proxy has: a client's."""


@pytest.fixture(scope="module", params=["nginx", "caddy"])
def proxy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, fleet: Fleet) -> Iterator[Proxy]:
    kind = request.param
    with running(kind, tmp_path_factory.mktemp("proxies") / kind, urlsplit(fleet.url).netloc) as started:
        yield started


@pytest.fixture(scope="module")
def owner(fleet: Fleet) -> Client:
    return new_user(fleet)


@pytest.fixture(scope="module")
def guest(owner: Client) -> Guest:
    return Guest.started(owner, "behind")


class _From(HTTPAdapter):
    """Connections that come from one address."""

    def init_poolmanager(self, *options: Any, **more: Any) -> None:
        super().init_poolmanager(*options, source_address=(ELSEWHERE, 0), **more)


def asked(proxy: Proxy, who: Client, method: str, path: str, **options: Any) -> requests.Response:
    """One request through the proxy, from elsewhere."""
    with requests.Session() as session:
        session.mount("https://", _From())
        headers = who.bearer | options.pop("headers", {})
        url = f"{proxy.url}/api/v1{path}"
        return session.request(method, url, headers=headers, verify=proxy.certificate, timeout=120, **options)


def trusting(proxy: Proxy) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=proxy.certificate)


@contextmanager
def socket(proxy: Proxy, who: Client, path: str) -> Iterator[Socket]:
    """Left in order: were its descriptor closed under the thread that reads, the thread would read the next's."""
    url = f"{proxy.url.replace('https', 'wss')}/api/v1{path}"
    opened = Socket(url, headers=who.bearer, ssl_context=trusting(proxy))
    yield opened
    Base.close(opened)
    opened.thread.join()
    opened.sock.close()


def test_a_request_and_whom_it_came_from(proxy: Proxy, fleet: Fleet, owner: Client) -> None:
    named = f"via-{proxy.home.name}"
    lie = {"X-Forwarded-For": "6.6.6.6", "X-Request-ID": named}
    made = asked(proxy, owner, "POST", "/keys", json={"name": named}, headers=lie)
    assert made.status_code == 201, made.text
    assert made.headers["X-Request-ID"] == named
    entry = {"action_type": "key_create", "limit": "100"}
    logs = administrator(fleet).request("GET", "/security/audit-logs", params=entry).json()["logs"]
    assert [each["source_ip"] for each in logs if each["details"].get("id") == made.json()["id"]] == [ELSEWHERE], logs


def test_an_event_as_it_happens(proxy: Proxy, owner: Client, guest: Guest) -> None:
    with socket(proxy, owner, f"/vms/{guest.name}/events") as listener:
        asked(proxy, owner, "POST", f"/vms/{guest.name}/restart").raise_for_status()
        until(lambda: "seq" in json.loads(listener.receive(timeout=20) or "{}"))


def test_the_output_of_an_execution_as_it_appears(proxy: Proxy, owner: Client, guest: Guest) -> None:
    begun = asked(proxy, owner, "POST", f"/vms/{guest.name}/execs", json={"command": "echo one; sleep 600"})
    one = f"/vms/{guest.name}/execs/{begun.json()['id']}"
    with socket(proxy, owner, f"{one}/stream") as stream:
        assert json.loads(stream.receive(timeout=60) or "")["data"] == "one\n"
        assert asked(proxy, owner, "GET", one).json()["state"] == "running"
    assert asked(proxy, owner, "DELETE", one).status_code == 204


def test_a_console(proxy: Proxy, owner: Client, guest: Guest) -> None:
    shown = b""

    def is_there() -> bool:
        nonlocal shown
        data = console.receive(timeout=20)
        shown += data if isinstance(data, bytes) else b""
        return b"the fake VM is running" in shown

    with socket(proxy, owner, f"/vms/{guest.name}/console") as console:
        until(is_there, why=lambda: shown)


class Halting:
    """A body whose second half is sent once the first has arrived."""

    def __init__(self, data: bytes, arrived: Any) -> None:
        self._data, self._arrived, self._at = data, arrived, 0

    def __len__(self) -> int:
        return len(self._data)

    def read(self, size: int) -> bytes:
        if self._at <= len(self._data) // 2 < self._at + size:
            self._arrived()
        self._at += size
        return self._data[self._at - size : self._at]


def test_an_upload_is_passed_on_as_it_comes_and_lies_nowhere(proxy: Proxy, fleet: Fleet) -> None:
    name = f"large-{proxy.home.name}"
    disk = bootable() + noise(64 * MB)
    form = {"name": (None, name), "disk": ("disk.raw", disk)}
    prepared = requests.Request("POST", "http://x", files=form).prepare()
    kept: list[Any] = []

    def arrived() -> None:
        until(lambda: sum(path.stat().st_size for path in fleet.plan.images.glob(".upload-*")) > 16 * MB)
        kept.extend(proxy.kept())

    assert isinstance(prepared.body, bytes)
    headers = {"Content-Type": prepared.headers["Content-Type"]}
    admin = administrator(fleet)
    made = asked(proxy, admin, "POST", "/images", data=Halting(prepared.body, arrived), headers=headers)
    assert made.status_code == 201, made.text
    assert made.json()["size_bytes"] == len(disk)
    assert kept == []
    assert asked(proxy, admin, "DELETE", f"/images/{name}").status_code == 204


@pytest.mark.parametrize("has_length", [True, False])
def test_what_is_too_large_is_refused_by_the_api_itself(proxy: Proxy, owner: Client, has_length: bool) -> None:
    """By no more than a connection holds: who is still sending when it is closed may not get to read the answer."""
    body = b" " * (MB + 65536)
    sent = body if has_length else iter([body])
    refused = asked(proxy, owner, "POST", "/vms", data=sent, headers={"Content-Type": "application/json"})
    assert (refused.status_code, refused.json()["error"]) == (413, "payload_too_large"), refused.text
