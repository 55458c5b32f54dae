"""/media in both dialects, by an agent with the fake driver: one's own disks, and nobody else's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.media.media import DISKS
from cli.fleet.fleet import Fleet
from tests.api.world import INVALID, World, problem
from tests.support.clients import Client, new_user
from tests.support.waiting import until

DISK = {"controller": "SATA Controller", "port": 1, "medium": "kept.raw", "create_if_missing": True, "size_gb": 3}


@pytest.fixture
def client(fleet: Fleet) -> Iterator[Client]:
    """A user with a VM, "web", that is gone afterwards."""
    made = new_user(fleet)
    body = {"name": "web", "host": fleet.plan.host_names[0], "memory_mb": 512, "storage_gb": 5}
    assert made.call("POST", "/vms", made.key, body, Prefer="wait=20").status_code == 200
    yield made
    made.call("DELETE", "/vms/web", made.bearer)


def listed(client: Client, query: str = "") -> list[Any]:
    both = [client.call("GET", f"/media{query}", who).json() for who in (client.bearer, client.key)]
    assert both[0]["media"] == both[1]["data"]
    found: list[Any] = both[0]["media"]
    return found


def free(client: Client, fleet: Fleet) -> int:
    host = client.call("GET", f"/hosts/{fleet.plan.host_names[0]}", client.bearer).json()
    size: int = host["free"]["disk_gb"]
    return size


def on_host(fleet: Fleet) -> list[Path]:
    return list((fleet.home / "hosts" / fleet.plan.host_names[0] / "media" / DISKS).rglob("kept.raw"))


def test_a_disk_is_counted_listed_kept_and_deleted(client: Client, fleet: Fleet) -> None:
    before = free(client, fleet)
    assert client.call("POST", "/vms/web/disks", client.key, DISK).status_code == 200
    (disk,) = listed(client)
    vm = client.call("GET", "/vms/web", client.bearer).json()
    assert set(disk) == {
        *("id", "name", "host", "owner_id", "format", "size_gb", "used_gb", "reserved_gb", "vm_id", "created_at")
    }
    assert (disk["name"], disk["format"], disk["size_gb"], disk["reserved_gb"]) == ("kept.raw", "raw", 3, 3)
    assert (disk["vm_id"], disk["host"]) == (vm["id"], fleet.plan.host_names[0])
    assert free(client, fleet) == before - 3
    attached = client.call("DELETE", f"/media/{disk['id']}", client.bearer)
    assert attached.status_code == 409
    assert "attached to VM 'web'" in attached.text
    other = new_user(fleet)
    assert listed(other) == []
    for who in (other.bearer, other.key):
        for method in ("GET", "DELETE"):
            assert other.call(method, f"/media/{disk['id']}", who).status_code == 404
    assert client.call("DELETE", "/vms/web", client.bearer).status_code == 204
    (kept,) = listed(client, "?attached=false")
    assert kept == disk | {"vm_id": None}
    assert client.call("GET", f"/media/{disk['id']}", client.key).json()["data"] == kept
    assert len(on_host(fleet)) == 1
    assert client.call("DELETE", f"/media/{disk['id']}", client.bearer).status_code == 204
    assert (listed(client), on_host(fleet)) == ([], [])
    assert client.call("DELETE", f"/media/{disk['id']}", client.key).status_code == 404
    until(lambda: free(client, fleet) == before + 5)  # its VM's own disk is gone too


def test_disks_go_with_their_vm_if_asked(client: Client, fleet: Fleet) -> None:
    assert client.call("POST", "/vms/web/disks", client.bearer, DISK).status_code == 200
    assert client.call("DELETE", "/vms/web?delete_disks=true", client.bearer).status_code == 204
    assert (listed(client), on_host(fleet)) == ([], [])


@pytest.mark.parametrize("dialect", ["microvm", "vboxmcp"])
def test_what_is_asked_wrongly(world: World, dialect: str) -> None:
    owner, reader = world.caller().headers(dialect), world.caller(access="read").key
    assert problem(world.get("/media?sort=owner", owner))[0] == INVALID[dialect]
    assert problem(world.get("/media?attached=maybe", owner))[0] == INVALID[dialect]
    assert world.get("/media?host=none&attached=true", owner).json["total"] == 0
    for path in ("/media/none", "/media/%00", "/media/" + "x" * 500):
        assert problem(world.get(path, owner))[0] == 404, path
        assert problem(world.delete(path, owner))[0] == 404, path
    assert problem(world.delete("/media/none", reader)) == (403, "forbidden")
    assert world.get("/media", {}).status_code == 401
