"""A VM that has crashed says so, and why, until it runs again."""

from __future__ import annotations

from typing import Any

import pytest

from agent.drivers.fake.state import crash
from cli.fleet.fleet import Fleet
from tests.support.clients import Client
from tests.support.waiting import until

WHY = "the fake VM was told to crash"


@pytest.mark.parametrize("dialect", ["bearer", "key"])
def test_what_is_said_of_it(fleet: Fleet, client: Client, dialect: str) -> None:
    who = getattr(client, dialect)

    def shown() -> Any:
        found = client.call("GET", "/vms/fragile", who).json()
        found = found.get("data", found)
        return found.get("vm", found)

    made = client.call(
        "POST", "/vms", client.bearer, {"name": "fragile", "hypervisor": "fake", "host": "host-a"}
    ).json()
    assert client.call("POST", "/vms/fragile/start", client.bearer).status_code == 200
    assert shown()["reason"] is None
    crash(fleet.home / "hosts" / "host-a" / "vms", made["id"])
    until(lambda: client.call("GET", "/vms/fragile", client.bearer).json()["status"] == "crashed")
    assert shown()["reason"] == WHY
    refused = client.call("POST", "/vms/fragile/execute", who, {"command": "true"})
    assert refused.status_code == 409
    assert f"({WHY}); start it first" in refused.text
    assert client.call("POST", "/vms/fragile/start", client.bearer).status_code == 200
    assert shown()["reason"] is None
