"""/metrics: who may read it, and that it counts what happened, over all processes."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families
from simple_websocket import Client as Socket

from cli.fleet.fleet import Fleet
from core.contract import channels
from core.settings import Settings
from tests.api.world import World
from tests.support.clients import new_user
from tests.support.waiting import until

LOOPBACK = {"REMOTE_ADDR": "127.0.0.1"}
Figures = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scraped(world: World, headers: dict[str, str] | None = None, **environ: str) -> Any:
    shown = {"Authorization": f"Bearer {world.settings.metrics_token}"} if headers is None else headers
    return world._client.get("/metrics", headers=shown, environ_overrides=LOOPBACK | environ)


def figures(text: str) -> Figures:
    """Every sample; a text that breaks the format is an error here."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def total(found: Figures, name: str, **labels: str) -> float:
    """The sum of the samples of that name with those labels."""
    return sum(value for (each, of), value in found.items() if each == name and labels.items() <= dict(of).items())


def test_who_shows_the_token_may_read_it_and_nobody_else(world: World) -> None:
    assert scraped(world).status_code == 200
    assert scraped(world, REMOTE_ADDR="10.0.0.7").status_code == 200
    for shown in ("Bearer wrong", "s3cret", "Bearer \xe9", "Bearer ", ""):
        assert scraped(world, {"Authorization": shown}).status_code == 401
    for address in ("127.0.0.1", "::1", ""):
        assert scraped(world, {}, REMOTE_ADDR=address).status_code == 401


def test_without_a_token_nobody_may(settings: Settings) -> None:
    world = World(replace(settings, metrics_token=""))
    try:
        for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": "Bearer s3cret"}):
            assert scraped(world, headers).status_code == 403
    finally:
        world.close()


def test_labels_are_templates_and_known_words(world: World) -> None:
    caller = world.caller()
    vm = world.add_vm(caller)
    route = {"dialect": "microvm", "route": "/api/v1/vms/<vm_name>"}
    before = figures(scraped(world).text)
    world.get(f"/vms/{vm}", caller.bearer)
    world.get("/vms/none", caller.bearer)
    world.request("BREW", f"/vms/{vm}", caller.bearer)
    for number in range(3):
        world.get(f"/guess/{number}", caller.bearer)
    text = scraped(world).text
    found = figures(text)

    def grown(**labels: str) -> float:
        return total(found, "corral_http_requests_total", **labels) - total(
            before, "corral_http_requests_total", **labels
        )

    assert grown(**route, status="200", method="GET") == 1
    assert grown(**route, status="404", method="GET") == 1
    assert grown(route="none", status="404") == 3
    assert total(found, "corral_http_request_seconds_count", **route, method="GET") >= 2
    assert "BREW" not in text
    assert vm not in text


def test_the_fleet_in_figures(world: World) -> None:
    redis, host = world.context.dispatch.redis, f"h{secrets.token_hex(4)}"
    world.record.add_host(host)
    body = {"kind": "report", "body": {"at": time.time() - 30}}
    redis.rpush(channels.reports(host), json.dumps(body))
    redis.rpush(channels.command_queue(host), "x", "y")
    world.add_vm(world.caller(), observed="crashed")
    try:
        found = _fresh(world)
        assert total(found, "corral_up") == 2
        assert total(found, "corral_vms", status="crashed") >= 1
        assert total(found, "corral_hosts", state="online") >= 2
        assert total(found, "corral_waiting_messages", queue="commands") >= 2
        assert total(found, "corral_reports_lag_seconds") >= 30
        redis.lset(channels.reports(host), 0, "{")
        assert total(_fresh(world), "corral_reports_lag_seconds") < 10
    finally:
        redis.delete(channels.reports(host), channels.command_queue(host))
        with world.context.transaction() as session:
            session.connection().exec_driver_sql("DELETE FROM hosts WHERE name = %s", (host,))


def _fresh(world: World) -> Figures:
    """By an API that has not looked yet."""
    other = World(world.settings)
    try:
        return figures(scraped(other).text)
    finally:
        other.close()


@pytest.fixture(scope="module")
def session(fleet: Fleet) -> Iterator[requests.Session]:
    """A user of the fleet, with a token."""
    with requests.Session() as made:
        made.headers.update(new_user(fleet).bearer)
        yield made


def of_fleet(url: str, fleet: Fleet) -> Figures:
    assert requests.get(f"{url}/metrics", timeout=5).status_code == 401
    shown = {"Authorization": f"Bearer {fleet.credentials.metrics_token}"}
    answer = requests.get(f"{url}/metrics", headers=shown, timeout=5)
    answer.raise_for_status()
    return figures(answer.text)


def test_all_processes_of_the_api_are_added_up(fleet: Fleet, session: requests.Session) -> None:
    labels = {"route": "/api/v1/keys", "method": "GET"}
    before = total(of_fleet(fleet.url, fleet), "corral_http_requests_total", **labels)
    for _ in range(20):  # each by a connection of its own, and so by any of the processes
        requests.get(f"{fleet.url}/api/v1/keys", headers=session.headers, timeout=10).raise_for_status()
    for _ in range(4):
        assert total(of_fleet(fleet.url, fleet), "corral_http_requests_total", **labels) == before + 20
    address = fleet.url.replace("http", "ws") + "/api/v1/system/events"
    sockets = total(of_fleet(fleet.url, fleet), "corral_open_sockets")
    socket = Socket.connect(address, headers={"Authorization": session.headers["Authorization"]})
    until(lambda: total(of_fleet(fleet.url, fleet), "corral_open_sockets") == sockets + 1)
    socket.close()
    until(lambda: total(of_fleet(fleet.url, fleet), "corral_open_sockets") == sockets)


def test_workers_and_agents_have_ports_of_their_own(fleet: Fleet, session: requests.Session) -> None:
    url = f"{fleet.url}/api/v1/vms"
    made = session.post(url, json={"name": "counted", "host": "host-b"}, timeout=30).json()
    session.post(f"{url}/counted/start", timeout=30).raise_for_status()
    session.get(f"{url}/counted/metrics", timeout=30).raise_for_status()
    worker, _, agent = (f"http://127.0.0.1:{port}" for port in fleet.plan.metrics_ports.values())
    until(lambda: total(of_fleet(agent, fleet), "corral_agent_vm_memory_bytes", vm=made["id"]) == 64 * 2**20)
    found = of_fleet(agent, fleet)
    assert total(found, "corral_agent_commands_total", kind="start", outcome="succeeded") >= 1
    assert total(found, "corral_agent_command_seconds_count", kind="create") >= 1
    assert total(found, "corral_agent_calls_total", verb="measure", outcome="ok") >= 1
    assert total(found, "corral_agent_driver_healthy", driver="fake") == 1
    assert total(found, "corral_agent_vms", state="running") >= 1
    assert total(found, "corral_agent_journal", state="unfinished") == 0
    found = of_fleet(worker, fleet)
    assert total(found, "corral_worker_reports_total") > 0
    assert total(found, "corral_worker_sweeps_total", outcome="done") > 0
    session.delete(f"{url}/counted", timeout=30).raise_for_status()
    until(lambda: total(of_fleet(agent, fleet), "corral_agent_vm_memory_bytes", vm=made["id"]) == 0)
