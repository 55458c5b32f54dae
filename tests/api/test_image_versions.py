"""A VM is made from the version of its image that its host had when it was placed, or not at all."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import psutil
import pytest

from cli.fleet.fleet import Fleet
from core import images
from tests import disks
from tests.support.clients import Client
from tests.support.waiting import until

IMAGE = "edition"


def publish(store: Path, at: Path, text: str) -> str:
    """The digest of a new version."""
    at.write_bytes(disks.bootable())
    shutil.rmtree(store / IMAGE, ignore_errors=True)
    return images.add(store, IMAGE, at, description=text).digest


def known(client: Client, digest: str) -> bool:
    hosts = client.call("GET", "/hosts", client.bearer).json()["hosts"]
    return all(host["facts"]["image_digests"].get(IMAGE) == digest for host in hosts)


@pytest.mark.parametrize("dialect", ["bearer", "key"])
def test_an_image_that_was_replaced_meanwhile_is_refused(
    fleet: Fleet,
    client: Client,
    tmp_path: Path,
    dialect: str,
) -> None:
    who, disk = getattr(client, dialect), tmp_path / "disk"
    body: dict[str, Any] = {"name": "dated", "template": IMAGE, "hypervisor": "fake"}
    if dialect == "key":
        body = {"name": "dated", "os_type": "Ubuntu_64", "memory_mb": 512, "cpus": 1, "template": IMAGE}
    first = publish(fleet.plan.images, disk, "the first")
    until(lambda: known(client, first))
    agents = [psutil.Process(fleet.process(name).pid) for name in fleet.plan.host_names]
    for agent in agents:
        agent.suspend()
    try:
        begun = client.call("POST", "/vms", who, body, Prefer="respond-async")
        second = publish(fleet.plan.images, disk, "the second")
    finally:
        for agent in agents:
            agent.resume()
    assert begun.status_code == 202, begun.text
    ended = client.call("GET", f"/operations/{begun.headers['X-Operation-Id']}/wait", who).json()
    ended = ended.get("data", ended)
    ended = ended.get("operation", ended)
    assert (ended["state"], ended["error"]["code"]) == ("failed", "image_changed")
    assert "create the VM again" in ended["error"]["message"]
    assert first in ended["error"]["message"]
    until(lambda: known(client, second))
    made = client.call("POST", "/vms", who, body, Prefer="wait=20")
    assert made.status_code == (201 if dialect == "bearer" else 200), made.text
