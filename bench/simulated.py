"""A fleet of simulated hosts, and what its processes use."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import create_engine, text

from bench.http import BenchClient, login
from cli.fleet.fleet import Fleet

VMS = 100
_PATIENCE_SECONDS = 300.0
_LOOK_SECONDS = 0.05


class Simulated:
    """So many hosts with `VMS` VMs each, of a fleet that has no other hosts."""

    def __init__(self, fleet: Fleet, hosts: int, process: subprocess.Popen[bytes]) -> None:
        self.fleet, self.hosts, self._process = fleet, hosts, process
        self._engine = create_engine(fleet.database_url)
        self.token = login(fleet.url, fleet.credentials.username, fleet.credentials.password)

    def client(self) -> BenchClient:
        """A client, for one thread."""
        return BenchClient(self.fleet.url, self.token)

    def vm(self, number: int) -> str:
        """The name of a VM that is off: those of the first so many numbers are on hosts of their own."""
        host, which = number % self.hosts, number // self.hosts
        return f"sim-{host + 1:04d}-{2 * which + 2:03d}"

    def boot(self) -> float:
        """All agents start anew at once; the seconds until the record has the inventory of each."""
        before = {row.boot_id for row in self.rows("SELECT boot_id FROM hosts")}
        began = time.perf_counter()
        self._process.send_signal(signal.SIGUSR1)
        until(lambda: not before & {row.boot_id for row in self.rows("SELECT boot_id FROM hosts")})
        return time.perf_counter() - began

    def rows(self, query: str) -> list[Any]:
        """What the record says."""
        with self._engine.connect() as connection:
            return list(connection.execute(text(query)))

    def busy(self, seconds: float) -> dict[str, float]:
        """What of a core the worker, PostgreSQL and Redis take while nobody asks for anything."""
        processes = {name: psutil.Process(self.fleet.process(name).pid) for name in ("worker", "postgres", "redis")}
        before = {name: _cpu_seconds(process) for name, process in processes.items()}
        began = time.perf_counter()
        time.sleep(seconds)
        passed = time.perf_counter() - began
        return {name: (_cpu_seconds(process) - before[name]) / passed for name, process in processes.items()}

    def close(self) -> None:
        """The hosts are gone."""
        self._process.terminate()
        self._process.wait(60)
        self._engine.dispose()


@contextmanager
def simulated(fleet: Fleet, hosts: int) -> Iterator[Simulated]:
    """Once all of them are known, and have been for a moment."""
    own = {"REDIS_URL": fleet.redis_url, "DATABASE_URL": fleet.database_url}
    owner = f"--owner={fleet.credentials.username}"
    command = [sys.executable, "-m", "tools.simulator", f"--hosts={hosts}", f"--vms={VMS}", owner]
    with Path(fleet.home / "logs" / "simulator.log").open("ab") as log:
        process = subprocess.Popen(command, env={**os.environ, **own}, stdout=log, stderr=log)
    made = Simulated(fleet, hosts, process)
    heard_of = "SELECT name FROM hosts WHERE generation > 0 AND offline_since IS NULL"
    try:
        until(lambda: len(made.rows(heard_of)) == hosts)
        yield made
    finally:
        made.close()


def until(what: Callable[[], object]) -> None:
    """Until it is so; `TimeoutError` after minutes."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not what():
        if time.monotonic() > deadline:
            raise TimeoutError("the simulated fleet does not come so far")
        time.sleep(_LOOK_SECONDS)


def _cpu_seconds(process: psutil.Process) -> float:
    """Of it and its children, of which PostgreSQL ends some and begins others."""
    times = process.cpu_times()
    total = times.user + times.system + times.children_user + times.children_system
    for child in process.children(recursive=True):
        try:
            own = child.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += own.user + own.system
    return total
