"""A fleet that has images, and machines that have none until they need one."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.fleet.fleet import Fleet
from cli.fleet.plan import FleetPlan
from cli.fleet.share import Share
from corral import Client
from tests.images.cold import Cold


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """With one host that shares the API's folder, and so has whatever that has."""
    home = tmp_path_factory.mktemp("images-fleet")
    plan = FleetPlan(
        home=home / "home",
        images=home / "images",
        hypervisors=("fake",),
        agents=1,
        flower=False,
        durable=False,
        image=False,
        share=Share(vcpus=1, memory_mb=512, disk_gb=1000),
        environment={"RATE_LIMIT_BURST": "1000000", "RATE_LIMIT_HOURLY": "1000000"},
    )
    with Fleet(plan) as running:
        yield running


@pytest.fixture
def client(fleet: Fleet) -> Iterator[Client]:
    """The blocking client, by the administrator's API key."""
    with Client(fleet.url, fleet.credentials.api_key) as made:
        yield made


@pytest.fixture
def cold(fleet: Fleet, client: Client, tmp_path: Path) -> Iterator[Cold]:
    """A machine to become a host."""
    made = Cold(fleet, client, tmp_path, f"cold-{secrets.token_hex(3)}")
    yield made
    made.close()
