"""A create that finds what it is to make: `if_exists`, in both dialects, on real processes."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.api.speaking import Speaker
from tests.support.clients import Client


@pytest.fixture(params=["bearer", "key"])
def speaks(client: Client, request: pytest.FixtureRequest) -> Speaker:
    return Speaker(client, request.param)


def made(speaks: Speaker) -> int:
    """The status of a create that has succeeded."""
    return 201 if speaks.headers == speaks.client.bearer else 200


def body(**more: Any) -> dict[str, Any]:
    return {"name": f"vm-{uuid.uuid4().hex[:8]}", "hypervisor": "fake", "if_exists": "return", **more}


def test_a_vm_of_that_name_is_the_answer(speaks: Speaker) -> None:
    asked, status = body(memory_mb=768), made(speaks)
    first = speaks("POST", "/vms", asked, status)
    again = speaks.client.call("POST", "/vms", speaks.headers, asked | {"memory_mb": 512})
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (status, "true")
    assert (again.json().get("data") or again.json())["id"] == first["id"]
    assert speaks("GET", f"/vms/{asked['name']}")["memory_mb"] == 768, "it is as it was"
    speaks("POST", "/vms", asked | {"if_exists": "fail"}, 409)
    speaks("POST", "/vms", {"name": asked["name"]}, 409)
    wrong = speaks.client.call("POST", "/vms", speaks.headers, asked | {"if_exists": "replace"})
    assert "must be one of fail, return" in wrong.text
    speaks.client.call("DELETE", f"/vms/{asked['name']}", speaks.client.bearer)
    assert speaks("POST", "/vms", asked, status)["id"] != first["id"], "it is not there any more"


def test_of_ten_at_once_one_makes_it(speaks: Speaker) -> None:
    asked, status = body(), made(speaks)
    with ThreadPoolExecutor(10) as pool:
        found = list(pool.map(lambda _: speaks("POST", "/vms", asked, status)["id"], range(10)))
    assert len(set(found)) == 1


def test_others_vms_are_others(client: Client, apart: Client) -> None:
    mine = client.call("POST", "/vms", client.bearer, {"name": "apart", "if_exists": "return"}).json()
    assert mine["id"] != apart.call("GET", "/vms/apart", apart.bearer).json()["id"]


def test_a_snapshot_of_that_name_is_the_answer(speaks: Speaker) -> None:
    asked, status = body(), made(speaks)
    speaks("POST", "/vms", asked, status)
    path, snapshot = f"/vms/{asked['name']}/snapshots", {"name": "good", "if_exists": "return"}
    key = "id" if status == 201 else "snapshot_id"
    first = speaks("POST", path, snapshot, status)
    assert speaks("POST", path, snapshot, status)[key] == first[key]
    speaks("POST", path, {"name": "good"}, 409)
    speaks.client.call("DELETE", f"{path}/good", speaks.client.bearer)
    assert speaks("POST", path, snapshot, status)[key] != first[key]


def test_what_was_asked_for_is_read_again(client: Client) -> None:
    name = body()["name"]
    asked: dict[str, Any] = {
        "name": name,
        "os_type": "linux",
        "vcpus": 2,
        "memory_mb": 768,
        "template": "linux-default",
        "storage_config": {"disk_size_gb": 11, "disk_type": "nvme"},
        "hypervisor": "fake",
        "placement": {"require": [], "prefer": ["disk=ssd"], "apart_from_group": "web", "strategy": "pack"},
        "restart_policy": "elsewhere",
    }
    client.call("POST", "/vms", client.bearer, asked)
    shown = client.call("GET", f"/vms/{name}", client.bearer).json()
    assert {field: shown[field] for field in asked} == asked
    other = client.call("GET", f"/vms/{name}", client.key).json()["data"]
    assert (other["template"], other["storage_gb"], other["network_config"]["type"]) == ("linux-default", 11, "user")
    assert shown["network_config"] == other["network_config"]
