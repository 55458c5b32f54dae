"""A whole fleet with the fake driver, and a client of it with an API key of the administrator's."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from cli.fleet.fleet import Fleet
from cli.fleet.plan import Plan
from cli.fleet.share import Share
from corral import Client, NotFound


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Real processes, and an image that the fake driver is content with."""
    images = tmp_path_factory.mktemp("library-images")
    (images / "linux-default").mkdir()
    (images / "linux-default" / "manifest.json").write_text("{}")
    plan = Plan(
        home=tmp_path_factory.mktemp("library-fleet") / "home",
        images=images,
        hypervisors=("fake",),
        flower=False,
        durable=False,
        image=False,
        share=Share(vcpus=64, memory_mb=64 * 1024, disk_gb=1000),
        environment={"RATE_LIMIT_BURST": "1000000", "RATE_LIMIT_HOURLY": "1000000"},
    )
    with Fleet(plan) as running:
        yield running


@pytest.fixture
def client(fleet: Fleet) -> Iterator[Client]:
    """The blocking client, by API key."""
    with Client(fleet.url, fleet.credentials.api_key) as made:
        yield made


@pytest.fixture
def vm(client: Client) -> Iterator[str]:
    """A VM that runs, of the fake driver."""
    name = f"vm-{uuid.uuid4().hex[:8]}"
    client.vms.create(name, hypervisor="fake")
    client.vms.start(name)
    yield name
    try:
        client.vms.delete(name)
    except NotFound:
        pass  # the test did
