"""Real guests through the API, against QEMU started by hand."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench import executions, files
from bench.http import BenchClient
from bench.rawguest import raw_guest
from bench.stats import Row, ms, timed
from cli.fleet.fleet import Fleet

_BOOTS = 3
_EXECUTIONS = 60
# A guest answers before it has started everything; until then it is busy with itself.
SETTLED = "systemctl is-system-running --wait"


def all_of(fleet: Fleet, token: str) -> Iterator[Row]:
    """Boots and executions, raw and ours in turn, so that a drift of the machine meets both."""
    client = BenchClient(fleet.url, token)
    acceleration = client.must("GET", "/hosts/host-a")["hypervisors"][0]["acceleration"]
    raw_boots, our_boots = [], []
    raw_runs: list[float] = []
    our_runs: list[float] = []
    raw_crowd: list[float] = []
    our_crowd: list[float] = []
    with tempfile.TemporaryDirectory(prefix="raw-") as folder:
        for number in range(_BOOTS):
            with raw_guest(Path(folder) / str(number), fleet.plan.images, acceleration) as raw:
                raw_boots.append(raw.boot_seconds)
                raw.execute(SETTLED)
                raw_runs += timed(lambda raw=raw: raw.execute("true"), _EXECUTIONS // _BOOTS)  # type: ignore[misc]
                raw_crowd += executions.raw(raw)
            our_boots.append(_boot(client, number))
            _execute(client, number, SETTLED, 1)
            our_runs += _execute(client, number, "true", _EXECUTIONS // _BOOTS)
            our_crowd += executions.ours(fleet.url, token, f"bench-{number}")
            client.must("DELETE", f"/vms/bench-{number}")
    yield from executions.rows(raw_runs, our_runs, raw_crowd, our_crowd)
    raw_boot, our_boot = statistics.median(raw_boots), statistics.median(our_boots)
    added = our_boot - raw_boot
    yield Row(
        "start → guest answers", f"{our_boot:.2f} s = {raw_boot:.2f} s + {ms(added)}", "raw + 300 ms", added <= 0.3
    )


def files_of(fleet: Fleet, token: str) -> Iterator[Row]:
    """Uploads and downloads."""
    client = BenchClient(fleet.url, token)
    acceleration = client.must("GET", "/hosts/host-a")["hypervisors"][0]["acceleration"]
    with (
        tempfile.TemporaryDirectory(prefix="raw-") as folder,
        raw_guest(Path(folder) / "files", fleet.plan.images, acceleration) as raw,
    ):
        raw.execute(SETTLED)
        _boot(client, 0)
        _execute(client, 0, SETTLED, 1)
        yield from files.compare(fleet, token, "bench-0", raw)
    client.must("DELETE", "/vms/bench-0")


def _boot(client: BenchClient, number: int) -> float:
    name = f"bench-{number}"
    client.must("POST", "/vms", {"name": name, "vcpus": 1, "memory_mb": 512})
    began = time.perf_counter()
    client.must("POST", f"/vms/{name}/start")
    return time.perf_counter() - began


def _execute(client: BenchClient, number: int, command: str, times: int) -> list[float]:
    body = {"command": command, "timeout_seconds": 120}
    return timed(lambda: client.must("POST", f"/vms/bench-{number}/execute", body), times)
