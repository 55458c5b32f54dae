"""Growth with the fleet: ten and a thousand simulated hosts with a hundred VMs each, figure by figure.

The ratio of the two is what counts: both are taken in one run, by turns with nothing else.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial

from bench.http import BenchClient
from bench.simulated import VMS, Simulated, simulated
from bench.stats import Row, ms, percentile, timed
from cli.fleet.fleet import Fleet

FEW, MANY = 10, 1000
_CLIENTS = 16
_RATE_SECONDS, _IDLE_SECONDS, _SETTLE_SECONDS = 10.0, 20.0, 5.0
_READS, _STARTS, _CREATES, _MEANWHILE = 60, 300, 200, 20
_SECOND_WORKER = "worker-2"
_names = itertools.count(1)


@dataclass
class Figures:
    """Of a fleet of one size: seconds, or what the name says."""

    hosts: int
    taken: dict[str, list[float]] = field(default_factory=dict)
    rate: float = 0.0
    rate_of_two: float = 0.0
    idle: dict[str, float] = field(default_factory=dict)
    boot: float = 0.0

    def last(self) -> str:
        """What was measured so far, for who waits."""
        times = {
            what: f"{ms(percentile(taken, 0.5))} {ms(percentile(taken, 0.99))}" for what, taken in self.taken.items()
        }
        return f"{times} {self.rate:.0f}/s {self.rate_of_two:.0f}/s {self.idle} {self.boot:.1f} s"


def all_of(fleet: Callable[[], AbstractContextManager[Fleet]], say: Callable[[str], None]) -> Iterator[Row]:
    """A row for each figure; `fleet` makes one without hosts, and with a second worker."""
    few, many = (_measured(fleet, hosts, say) for hosts in (FEW, MANY))
    yield _rate_row("operations a second, 16 clients", few.rate, many.rate, 0.95)
    yield _rate_row("the same, 1,000 hosts, 1 → 2 workers", many.rate, many.rate_of_two, 1.0)
    for what, share, most in (
        ("start", 0.5, 1.3),
        ("start", 0.99, 1.3),
        ("create", 0.5, 1.3),
        ("create", 0.99, 1.3),
        ("create, 16 clients", 0.5, 1.3),
        ("create, 16 clients", 0.99, 1.3),
        ("GET /vms, 50 of all", 0.5, 1.2),
        ("GET /vms, the middle", 0.5, 1.2),
        ("GET /vms, the end", 0.5, 1.2),
        ("GET /vms, running ones", 0.5, 1.2),
        ("GET /vms, crashed ones", 0.5, 1.2),
        ("GET /health", 0.5, 1.5),
        ("GET /status", 0.5, 1.5),
        ("GET /system/metrics", 0.5, 1.5),
    ):
        yield _row(what, share, few, many, most)
    together = many.idle["worker"] + many.idle["postgres"]
    parts = ", ".join(f"{name} {few.idle[name]:.2f} → {many.idle[name]:.2f}" for name in many.idle)
    yield Row("cores of an idle fleet", parts, "worker + postgres ≤ 0.2", together <= 0.2)
    yield Row("all agents start anew: recorded", f"{few.boot:.1f} → {many.boot:.1f} s", "≤ 20 s", many.boot <= 20)
    yield _row("start meanwhile", 0.99, few, many, 10)


def _measured(fleet: Callable[[], AbstractContextManager[Fleet]], hosts: int, say: Callable[[str], None]) -> Figures:
    found = Figures(hosts)
    with fleet() as running:
        running.kill(_SECOND_WORKER, hold=True)
        with simulated(running, hosts) as many:
            time.sleep(_SETTLE_SECONDS)
            for what, part in _PARTS.items():
                part(many, found)
                say(f"{hosts} hosts: {what}: {found.last()}")
    return found


def _reads(fleet: Simulated, found: Figures) -> None:
    """A refusal, as of a `/status` that has no answer within a second, counts with the time that it took."""
    client, all_ = fleet.client(), fleet.hosts * VMS
    for what, path in (
        ("GET /vms, 50 of all", "/vms?limit=50"),
        ("GET /vms, the middle", f"/vms?limit=50&offset={all_ // 2}"),
        ("GET /vms, the end", f"/vms?limit=50&offset={all_ - 100}"),
        ("GET /vms, running ones", "/vms?limit=50&status=running"),
        ("GET /vms, crashed ones", "/vms?limit=50&status=crashed"),
        ("GET /health", "/health"),
        ("GET /status", "/status"),
        ("GET /system/metrics", "/system/metrics"),
    ):
        timed(partial(client.request, "GET", path), 5)
        found.taken[what] = timed(partial(client.request, "GET", path), _READS)


def _idle(fleet: Simulated, found: Figures) -> None:
    found.idle = fleet.busy(_IDLE_SECONDS)


def _starts(fleet: Simulated, found: Figures) -> None:
    client = fleet.client()
    found.taken["start"] = [_start(client, fleet.vm(number)) for number in range(_STARTS)]


def _start(client: BenchClient, vm: str) -> float:
    (taken,) = timed(lambda: client.must("POST", f"/vms/{vm}/start"), 1)
    client.must("POST", f"/vms/{vm}/stop", {"force": True})
    return taken


def _creates(fleet: Simulated, found: Figures) -> None:
    found.taken["create"] = _made(fleet, _CREATES)
    with ThreadPoolExecutor(_CLIENTS) as pool:
        made = list(pool.map(lambda _: _made(fleet, _CREATES // _CLIENTS), range(_CLIENTS)))
    found.taken["create, 16 clients"] = [taken for each in made for taken in each]


def _made(fleet: Simulated, count: int) -> list[float]:
    client, taken = fleet.client(), list[float]()
    names = [f"bench-{next(_names)}" for _ in range(count)]
    for name in names:
        body = {"name": name, "hypervisor": "qemu", "vcpus": 1, "memory_mb": 256}
        taken += timed(lambda body=body: client.must("POST", "/vms", body), 1)  # type: ignore[misc]  # at once
    for name in names:
        client.must("DELETE", f"/vms/{name}")
    return taken


def _rates(fleet: Simulated, found: Figures) -> None:
    found.rate = _rate(fleet)
    if fleet.hosts == MANY:
        fleet.fleet.restart(_SECOND_WORKER)
        time.sleep(_SETTLE_SECONDS)
        found.rate_of_two = _rate(fleet)
        fleet.fleet.kill(_SECOND_WORKER, hold=True)


def _rate(fleet: Simulated) -> float:
    """Operations a second of all clients together, each with a VM on a host of its own, where there are enough."""
    began = time.perf_counter()
    with ThreadPoolExecutor(_CLIENTS) as pool:
        done = sum(pool.map(lambda number: _start_and_stop(fleet, number, began + _RATE_SECONDS), range(_CLIENTS)))
    return done / (time.perf_counter() - began)


def _start_and_stop(fleet: Simulated, number: int, end: float) -> int:
    client, vm, done = fleet.client(), fleet.vm(number), 0
    while time.perf_counter() < end:
        _start(client, vm)
        done += 2
    return done


def _boots(fleet: Simulated, found: Figures) -> None:
    """All agents start anew, and one client goes on starting VMs meanwhile."""
    ended = threading.Event()

    def go_on() -> list[float]:
        client, taken = fleet.client(), list[float]()
        for number in itertools.count():
            if ended.is_set() and number >= _MEANWHILE:
                return taken
            taken.append(_start(client, fleet.vm(number % _STARTS)))
        return taken

    with ThreadPoolExecutor(1) as pool:
        going_on = pool.submit(go_on)
        try:
            found.boot = fleet.boot()
        finally:
            ended.set()
        found.taken["start meanwhile"] = going_on.result()


_PARTS: dict[str, Callable[[Simulated, Figures], None]] = {
    "reads": _reads,
    "idle": _idle,
    "starts": _starts,
    "creates": _creates,
    "operations of 16 clients": _rates,
    "all agents at once": _boots,
}


def _row(what: str, share: float, few: Figures, many: Figures, most: float) -> Row:
    small, large = percentile(few.taken[what], share), percentile(many.taken[what], share)
    measured = f"{ms(small)} → {ms(large)} = {large / small:.2f} x"
    return Row(f"{what}, p{share * 100:.0f}", measured, f"≤ {most:g} x", large / small <= most)


def _rate_row(what: str, before: float, after: float, least: float) -> Row:
    measured = f"{before:.0f}/s → {after:.0f}/s = {after / before:.2f} x"
    return Row(what, measured, f"≥ {least:g} x", after / before >= least)
