"""The control plane with the fake driver, whose work takes no time: the rest is Corral's."""

from __future__ import annotations

import json
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice

import psutil
from simple_websocket import Client as Socket

from bench import noop, paper
from bench.http import BenchClient
from bench.stats import Row, ms, percentile, timed
from cli.fleet import commands
from cli.fleet.fleet import Fleet

_CLIENTS = 16
_TURNS = 4
_SECONDS = 6.0


def latency(fleet: Fleet, token: str) -> Row:
    """One client: POST start → the event on a WebSocket, against the raw round trip of a no-op task."""
    with noop.worker(fleet.redis_url):
        timed(noop.round_trip, 10)
        raw = statistics.median(timed(noop.round_trip, 100))
    client = BenchClient(fleet.url, token)
    client.must("POST", "/vms", {"name": "latency", "hypervisor": "fake"})
    socket = Socket(
        fleet.url.replace("http", "ws") + "/api/v1/vms/latency/events", headers={"Authorization": f"Bearer {token}"}
    )
    taken = []
    for number in range(110):
        began = time.perf_counter()
        client.must("POST", "/vms/latency/start", Prefer="respond-async")
        _until(socket, "running")
        taken.append(time.perf_counter() - began)
        client.must("POST", "/vms/latency/stop", {"force": True})
        _until(socket, "stopped")
        if number < 10:
            taken.clear()
    socket.close()
    client.must("DELETE", "/vms/latency")
    ours = statistics.median(taken)
    measured = f"{ms(ours)} = {ours / raw:.1f} x {ms(raw)}"
    return Row("POST start → event, 1 client, p50", measured, "≤ 4 x no-op round trip", ours <= 4 * raw)


def throughput(fleet: Fleet, token: str) -> Row:
    """Sixteen clients that start and stop: operations a second, against the raw rate of no-op tasks.

    By turns, as a machine that is shared is not equally quick for long.
    """
    setup = BenchClient(fleet.url, token)
    for number in range(_CLIENTS):
        setup.must("POST", "/vms", {"name": f"rate-{number}", "hypervisor": "fake"})
    rates, raw_rates = [], []
    for _ in range(_TURNS):
        with noop.worker(fleet.redis_url):
            noop.rate(200)
            raw_rates.append(noop.rate(1500))
        rates.append(_rate(fleet, token))
    for number in range(_CLIENTS):
        setup.must("DELETE", f"/vms/rate-{number}")
    ours, raw = statistics.mean(rates), statistics.mean(raw_rates)
    measured = f"{ours:.0f}/s = {ours / raw:.2f} x {raw:.0f}/s"
    return Row("operations a second, 16 clients", measured, "≥ 0.35 x no-op rate", ours >= 0.35 * raw)


def listing(fleet: Fleet, token: str) -> Row:
    """A page of 50 out of 10,000 VMs: the p99 of 32 clients against that of one."""
    paper.add_vms(fleet.database_url, 10_000)
    one = _pages(fleet.url, token, clients=1, requests=200)
    many = _pages(fleet.url, token, clients=32, requests=40)
    ratio = percentile(many, 0.99) / percentile(one, 0.99)
    measured = f"{ms(percentile(many, 0.99))} = {ratio:.1f} x {ms(percentile(one, 0.99))}"
    return Row("GET 50 of 10,000 VMs, p99, 32 clients", measured, "≤ 32 x one client", ratio <= 32)


def memory(fleet: Fleet) -> list[Row]:
    """Resident memory after the work above. An API worker is a child of gunicorn's master."""
    rows = []
    for what, name, reach in (("API worker", commands.API, 150), ("agent", "host-a", 120), ("worker", "worker", 150)):
        process = psutil.Process(fleet.process(name).pid)
        family = process.children() if name == commands.API else [process]
        most = max(one.memory_info().rss for one in family) / 1e6
        rows.append(Row(f"memory of the {what}", f"{most:.0f} MB", f"≤ {reach} MB", most <= reach))
    return rows


def _until(socket: Socket, status: str) -> None:
    while True:
        message = socket.receive(timeout=30)
        if message is None:
            raise TimeoutError(f"no event said '{status}'")
        if json.loads(message).get("data", {}).get("new_status") == status:
            return


def _rate(fleet: Fleet, token: str) -> float:
    """Operations a second of all clients together, each with a VM of its own."""
    began = time.perf_counter()
    with ThreadPoolExecutor(_CLIENTS) as pool:
        done = sum(pool.map(lambda number: _start_and_stop(fleet.url, token, f"rate-{number}"), range(_CLIENTS)))
    return done / (time.perf_counter() - began)


def _start_and_stop(url: str, token: str, name: str) -> int:
    client, done, end = BenchClient(url, token), 0, time.perf_counter() + _SECONDS
    while time.perf_counter() < end:
        client.must("POST", f"/vms/{name}/start")
        client.must("POST", f"/vms/{name}/stop", {"force": True})
        done += 2
    return done


def _pages(url: str, token: str, *, clients: int, requests: int) -> list[float]:
    barrier = threading.Barrier(clients)

    def read(number: int) -> list[float]:
        client = BenchClient(url, token)
        offsets = islice(cycle(range(number * 50, 9_900, 350)), requests)
        client.must("GET", "/health")
        barrier.wait()
        return [timed(lambda o=o: client.must("GET", f"/vms?limit=50&offset={o}"), 1)[0] for o in offsets]  # type: ignore[misc]

    with ThreadPoolExecutor(clients) as pool:
        return [taken for part in pool.map(read, range(clients)) for taken in part]
