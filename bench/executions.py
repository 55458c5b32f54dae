"""The time of one command in a real guest, for one client and for twenty, beside the guest agent without Corral."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from bench.http import BenchClient
from bench.rawguest import RawGuest
from bench.stats import Row, ms, percentile, timed

CLIENTS = 20
EACH = 5


def raw(guest: RawGuest) -> list[float]:
    """Twenty threads that each ask the raw agent, which answers one after the other."""

    def run(_: int) -> list[float]:
        return timed(lambda: guest.execute("true"), EACH)

    with ThreadPoolExecutor(CLIENTS) as pool:
        return [taken for part in pool.map(run, range(CLIENTS)) for taken in part]


def ours(url: str, token: str, vm: str) -> list[float]:
    """Twenty clients that each execute, at once."""
    barrier, body = threading.Barrier(CLIENTS), {"command": "true", "timeout_seconds": 120}

    def run(_: int) -> list[float]:
        client = BenchClient(url, token)
        client.must("GET", "/health")
        barrier.wait(30)
        return timed(lambda: client.must("POST", f"/vms/{vm}/execute", body), EACH)

    with ThreadPoolExecutor(CLIENTS) as pool:
        return [taken for part in pool.map(run, range(CLIENTS)) for taken in part]


def rows(one_raw: list[float], one: list[float], many_raw: list[float], many: list[float]) -> list[Row]:
    """The p50 and p99, raw and ours. The guest's one processor does the work of twenty one after the other."""
    found = []
    for what, raws, ourses in (("1 client", one_raw, one), (f"{CLIENTS} clients", many_raw, many)):
        for name, share in (("p50", 0.5), ("p99", 0.99)):
            base, taken = percentile(raws, share), percentile(ourses, share)
            added = taken - base
            alone = raws is one_raw and name == "p50"  # the slowest is as chance has it, with a guest or without
            reach, good = ("raw + 25 ms", added <= 0.025) if alone else ("≤ 2 x raw", taken <= 2 * base)
            measured = f"{ms(taken)} = {ms(base)} {'+' if added >= 0 else '-'} {ms(abs(added))}"
            found.append(Row(f"execute true, {what}, {name}", measured, reach, good))
    return found
