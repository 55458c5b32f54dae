"""A guest of QEMU boots on a machine that had no image when its VM was asked for."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.fleet.fleet import Fleet
from cli.fleet.plan import FleetPlan
from cli.fleet.share import Share
from core import settings
from corral import Client
from tests.images.cold import Cold

IMAGE = "linux-default"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """With the default image, and no host."""
    home = tmp_path_factory.mktemp("guest-fleet")
    images = settings.load().images
    plan = FleetPlan(home=home, images=images, agents=0, flower=False, durable=False, image=False, share=Share(1, 1, 1))
    with Fleet(plan) as running:
        yield running


@pytest.fixture
def cold(fleet: Fleet, client: Client, tmp_path: Path) -> Iterator[Cold]:
    """A machine to become a host with QEMU."""
    made = Cold(fleet, client, tmp_path, f"cold-{secrets.token_hex(3)}", "qemu")
    yield made
    made.close()


def test_a_machine_without_images_runs_a_guest(client: Client, cold: Cold) -> None:
    cold.join()
    assert client.images.get(IMAGE).hosts == []
    client.vms.create("web", image=IMAGE, host=cold.name, disk_gb=8, memory_mb=256)
    client.vms.start("web")
    assert "Linux" in client.commands.run("web", "uname").stdout
    vms = cold.pulled.parent / "vms"
    (disk,) = vms.glob("*/image/disk.qcow2")
    assert disk.stat().st_nlink == 2  # a link of what was pulled, and no copy
    client.vms.delete("web")
