"""A fleet with real guests, and someone who has read nothing but one of the documents."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from cli.fleet import vms
from cli.fleet.fleet import Fleet
from cli.fleet.plan import FleetPlan
from cli.fleet.share import Share
from core import settings
from tests.support.clients import Client, administrator
from tests.support.guests import Guest

_PLENTY = "1000000"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Two hosts that run QEMU. No VM outlives them."""
    home = tmp_path_factory.mktemp("documented") / "home"
    plan = FleetPlan(
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


@dataclass
class Reader:
    """Calls as the documents write them: `reader("POST /vms/{vm_name}/start", vm_name="web")`."""

    client: Client
    who: dict[str, str]

    def __call__(
        self, call: str, body: Any = None, *, query: Any = None, files: Any = None, data: Any = None, **names: Any
    ) -> requests.Response:
        method, path = call.split(" ")
        sent = {"json": body, "params": query, "files": files, "data": data}
        return self.client.request(method, path.format(**names), self.who, **sent)


@pytest.fixture(scope="module")
def bearer(fleet: Fleet) -> Reader:
    """A caller of the microvm document: the fleet's administrator, logged in."""
    client = administrator(fleet)
    return Reader(client, client.bearer)


@pytest.fixture(scope="module")
def key(fleet: Fleet) -> Reader:
    """A caller of the vboxmcp document."""
    client = administrator(fleet)
    return Reader(client, client.key)


@pytest.fixture(scope="module")
def guest(bearer: Reader) -> Iterator[str]:
    """The name of a VM that runs, and is deleted in the end."""
    name = f"guest-{secrets.token_hex(3)}"
    made = Guest.started(bearer.client, name, vcpus=1, memory_mb=512)
    yield name
    made.delete()
