"""Metrics of a VM and of the fleet, in both dialects, from a real agent with the fake driver."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import requests

from api.shared.system_metrics import SystemMetricsSchema
from cli.fleet.fleet import Fleet
from cli.fleet.postgres import Postgres
from core import migrate
from core.contract import channels
from core.contract.hosts import HostUsage
from core.contract.messages import encode
from core.contract.vms import VmUsage
from core.models import Host
from core.models.base import now
from core.settings import Settings
from tests.api.world import World, problem
from tests.support.clients import new_user
from tests.support.waiting import until


@pytest.fixture(scope="module")
def session(fleet: Fleet) -> Iterator[requests.Session]:
    """A user of the fleet, with a token."""
    with requests.Session() as made:
        made.headers.update(new_user(fleet).bearer)
        yield made


@pytest.fixture(scope="module")
def vm(fleet: Fleet, session: requests.Session) -> Iterator[str]:
    """A VM of theirs, stopped."""
    url = f"{fleet.url}/api/v1/vms"
    session.post(url, json={"name": "metered", "vcpus": 2}, timeout=30).raise_for_status()
    yield f"{url}/metered"
    session.delete(f"{url}/metered", timeout=30).raise_for_status()


def key_of(fleet: Fleet, session: requests.Session, access: str = "read") -> dict[str, str]:
    made = session.post(f"{fleet.url}/api/v1/keys", json={"name": "k", "access": access}, timeout=10)
    return {"X-API-Key": made.json()["key"]}


def test_a_vm_at_rest_and_running(fleet: Fleet, session: requests.Session, vm: str) -> None:
    resting = session.get(f"{vm}/metrics", timeout=30).json()
    assert resting["cpu"] == {"usage_percent": 0.0, "vcpus": 2, "cpu_time_seconds": 0}
    assert resting["memory"] == {"allocated_mb": 512, "used_mb": 0, "usage_percent": 0.0, "available_mb": 512}
    assert resting["network"]["bytes_in"] == 0
    assert resting["disk"]["allocated_gb"] == 10
    assert (resting["guest"], resting["unknown"]) == (None, {"guest": "the VM does not run"})
    session.post(f"{vm}/start", timeout=30).raise_for_status()
    running = session.get(f"{vm}/metrics", timeout=30).json()
    assert set(running) == {"vm_name", "timestamp", "cpu", "memory", "disk", "network", "guest", "unknown"}
    assert running["vm_name"] == "metered"
    assert running["memory"]["used_mb"] == 64
    assert running["memory"]["usage_percent"] == 12.5
    assert running["network"]["packets_out"] == 5
    assert running["guest"]["memory"]["usage_percent"] == 50.0
    # A key that may only read may measure.
    enveloped = requests.get(f"{vm}/metrics", headers=key_of(fleet, session), timeout=30).json()
    assert enveloped["status"] == "success"
    assert enveloped["data"]["memory"] == running["memory"]


def test_what_a_vm_uses_is_known_without_asking_its_host(session: requests.Session, vm: str) -> None:
    def shown_once_measured() -> Any:
        found = session.get(vm, timeout=10).json()
        return found if found["resource_usage"]["cpu_usage_percent"] is not None else None

    shown = until(shown_once_measured)
    assert shown["resource_usage"]["disk_usage_gb"] == 0.0
    assert shown["uptime_seconds"] >= 0


def test_the_fleet_counts_one_machine_once(fleet: Fleet, session: requests.Session, vm: str) -> None:
    """Both of its hosts are this machine."""

    def measured(query: str = "") -> Any:
        return session.get(f"{fleet.url}/api/v1/system/metrics{query}", timeout=10).json()

    until(lambda: None not in [host["cpu_cores"] for host in measured()["hosts"]])
    all_ = measured()
    one = measured("?host=host-a")
    assert {host["name"] for host in all_["hosts"]} == {"host-a", "host-b"}
    assert [host["name"] for host in one["hosts"]] == ["host-a"]
    assert all_["host"]["memory_total_gb"] == one["host"]["memory_total_gb"] > 0
    assert all_["host"]["cpu_cores"] == one["host"]["cpu_cores"]
    assert all_["vms"]["total_count"] >= max(1, one["vms"]["total_count"])
    enveloped = requests.get(f"{fleet.url}/api/v1/system/metrics", headers=key_of(fleet, session), timeout=10).json()
    assert enveloped["data"]["host"]["cpu_cores"] == all_["host"]["cpu_cores"]


@pytest.fixture
def lonely(world: World) -> Iterator[str]:
    """A host that only tables and Redis know."""
    name = f"h{secrets.token_hex(4)}"
    world.record.add_host(name)
    yield name
    world.context.dispatch.redis.delete(channels.usage(name), channels.vm_usage(name))
    with world.context.transaction() as session:
        session.delete(session.get_one(Host, name))


def told(world: World, host: str, at: float, machine: str = "m") -> None:
    usage = HostUsage(host, at, machine, f"{machine}:1", 50.0, 4, 8192, 4096, 10240, 1024)
    world.context.dispatch.redis.set(channels.usage(host), encode(usage))


def test_a_host_that_is_silent_or_old_news_is_no_number(world: World, lonely: str) -> None:
    headers = world.caller().bearer

    def cores() -> int | None:
        found: int | None = world.get(f"/system/metrics?host={lonely}", headers).json["host"]["cpu_cores"]
        return found

    assert cores() is None
    told(world, lonely, time.time())
    assert cores() == 4
    told(world, lonely, time.time() - 60)
    assert cores() is None
    told(world, lonely, time.time())
    with world.context.transaction() as session:
        session.get_one(Host, lonely).offline_since = now()
    body = world.get(f"/system/metrics?host={lonely}", headers).json
    assert body["host"]["cpu_cores"] is None
    assert body["hosts"][0]["status"] == "offline"
    assert body["hosts"][0]["last_seen_at"].endswith("Z")


def test_machines_are_added_up_by_their_size(world: World, lonely: str) -> None:
    headers = world.caller().bearer
    told(world, lonely, time.time())
    told(world, "host-a", time.time(), machine="other")
    body = world.get("/system/metrics", headers).json["host"]
    assert (body["cpu_cores"], body["cpu_usage_percent"], body["memory_total_gb"]) == (8, 50.0, 16.0)
    assert (body["disk_total_gb"], body["disk_usage_percent"]) == (20.0, 10.0)


@pytest.fixture(scope="module")
def large(settings: Settings, postgres: Postgres) -> Iterator[World]:
    """With a hundred hosts and one, in a database of its own."""
    url = postgres.create_database("large")
    migrate.upgrade(url)
    made = World(replace(settings, database_url=url))
    for number in range(101):
        made.record.add_host(f"host-{number:03d}")
    yield made
    made.close()


@pytest.mark.parametrize("dialect", ["microvm", "vboxmcp"])
def test_the_machines_of_a_large_fleet_are_looked_at_once_in_a_while(large: World, dialect: str) -> None:
    """VMs are counted each time."""
    caller = large.caller()

    def measured(query: str = "") -> Any:
        answer = large.get(f"/system/metrics{query}", caller.headers(dialect))
        assert answer.status_code == 200, answer.text
        body = answer.json["data"] if dialect == "vboxmcp" else answer.json
        assert SystemMetricsSchema().validate(body) == {}
        return body

    large.context.machines.put(None)
    before = measured()
    assert len(before["hosts"]) > 100
    large.add_vm(caller, host_name="host-001")
    large.record.add_host(f"host-{dialect}")
    after = measured()
    assert after["vms"]["total_count"] == before["vms"]["total_count"] + 1
    assert (after["hosts"], after["timestamp"]) == (before["hosts"], before["timestamp"])
    assert [host["name"] for host in measured(f"?host=host-{dialect}")["hosts"]] == [f"host-{dialect}"]
    until(lambda: f"host-{dialect}" in {host["name"] for host in measured()["hosts"]})


def test_usage_is_of_the_vm_that_was_asked_for_and_fresh(world: World, lonely: str) -> None:
    caller = world.caller()
    vm = world.add_vm(caller, host_name=lonely)
    key = channels.vm_usage(lonely)
    nothing = {"cpu_usage_percent": None, "memory_used_mb": None, "disk_usage_gb": None}
    try:
        assert world.get(f"/vms/{vm}", caller.bearer).json["resource_usage"] == nothing
        world.context.dispatch.redis.hset(key, vm, encode(VmUsage(time.time(), 15.2, 256, 2.5)))
        shown = world.get(f"/vms/{vm}", caller.bearer).json["resource_usage"]
        assert shown == {"cpu_usage_percent": 15.2, "memory_used_mb": 256, "disk_usage_gb": 2.5}
        for text in (encode(VmUsage(time.time() - 60, 1.0, 1, 1.0)), "{", '{"at": "x"}', "null"):
            world.context.dispatch.redis.hset(key, vm, text)
            assert world.get(f"/vms/{vm}", caller.bearer).json["resource_usage"] == nothing
    finally:
        with world.context.transaction() as session:
            session.connection().exec_driver_sql("DELETE FROM vms WHERE id = %s", (vm,))


def test_questions_that_have_no_answer(world: World) -> None:
    caller, stranger = world.caller(), world.caller()
    vm = world.add_vm(caller)
    for path, headers, expected in (
        (f"/vms/{vm}/metrics", stranger.bearer, (404, "not_found")),
        (f"/vms/{vm}/metrics", stranger.key, (404, "vm_not_found")),
        (f"/vms/{vm}/metrics", {}, (401, "unauthorized")),
        ("/vms/none/metrics", caller.bearer, (404, "not_found")),
        ("/system/metrics", {}, (401, "unauthorized")),
        ("/system/metrics?host=none", caller.bearer, (404, "not_found")),
        ("/system/metrics?host=none", caller.key, (404, "not_found")),
        ("/system/metrics?host=", caller.bearer, (422, "validation_error")),
        ("/system/metrics?host=" + 64 * "x", caller.bearer, (422, "validation_error")),
        ("/system/metrics?host=%00", caller.key, (400, "invalid_request")),
    ):
        assert problem(world.get(path, headers)) == expected, path
    half = world.add_vm(caller, observed=None)
    assert problem(world.get(f"/vms/{half}/metrics", caller.bearer)) == (409, "conflict")
