"""A fleet with real guests, and someone who has read nothing but one of the documents."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from cli.fleet import vms
from cli.fleet.fleet import Fleet
from cli.fleet.plan import Plan
from cli.fleet.share import Share
from core import settings

_PLENTY = "1000000"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Two hosts that run QEMU. No VM outlives them."""
    home = tmp_path_factory.mktemp("documented") / "home"
    plan = Plan(
        home=home,
        images=settings.load().images,
        hypervisors=("qemu",),
        flower=False,
        durable=False,
        image=False,
        share=Share(vcpus=100, memory_mb=100_000, disk_gb=10_000),
        environment={"RATE_LIMIT_BURST": _PLENTY, "RATE_LIMIT_HOURLY": _PLENTY},
    )
    try:
        with Fleet(plan) as running:
            yield running
    finally:
        vms.end(vms.running(home))


class Client:
    """Calls as the documents write them: `client("POST /vms/{vm_name}/start", vm_name="web")`."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        self.url, self.headers = url, headers

    def __call__(
        self, call: str, body: Any = None, *, query: Any = None, files: Any = None, data: Any = None, **names: Any
    ) -> requests.Response:
        method, path = call.split(" ")
        return requests.request(
            method,
            f"{self.url}/api/v1{path.format(**names)}",
            json=body,
            params=query,
            files=files,
            data=data,
            headers=self.headers,
            timeout=120,
        )


@pytest.fixture(scope="module")
def bearer(fleet: Fleet) -> Client:
    """A caller of the microvm document: the fleet's administrator, logged in."""
    known = {"username": fleet.credentials.username, "password": fleet.credentials.password}
    answer = requests.post(f"{fleet.url}/api/v1/auth/login", json=known, timeout=20)
    return Client(fleet.url, {"Authorization": f"Bearer {answer.json()['access_token']}"})


@pytest.fixture(scope="module")
def key(fleet: Fleet) -> Client:
    """A caller of the vboxmcp document."""
    return Client(fleet.url, {"X-API-Key": fleet.credentials.api_key})


@pytest.fixture(scope="module")
def guest(bearer: Client) -> Iterator[str]:
    """The name of a VM that runs, and is deleted in the end."""
    name = f"guest-{secrets.token_hex(3)}"
    answer = bearer("POST /vms", {"name": name, "vcpus": 1, "memory_mb": 512})
    assert answer.status_code == 201, answer.text
    try:
        assert bearer("POST /vms/{name}/start", name=name).status_code == 200
        yield name
    finally:
        assert bearer("DELETE /vms/{name}", name=name).status_code == 204
