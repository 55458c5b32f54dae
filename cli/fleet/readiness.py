"""Waits until a fleet that was just started serves: the API is healthy, every host is online."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

import requests
from sqlalchemy.engine import Engine

from cli.fleet import files
from cli.fleet.processes import Process, StartFailed
from cli.fleet.watch import Say, how
from core import database
from core.models import Host

_PATIENCE = 120.0
_IMAGE_PATIENCE = 1200.0


def wait(url: str, database_url: str, hosts: list[str], since: datetime, processes: list[Process], say: Say) -> None:
    """Until the API answers that it is healthy, and every host has sent a heartbeat since then."""
    engine = database.connect(database_url, pool_size=2)
    try:
        _until("the API", lambda: _healthy(url), processes, say)
        for host in hosts:
            _until(host, lambda host=host: _heard_of(engine, host, since), processes, say)  # type: ignore[misc]
    finally:
        engine.dispose()


def wait_for_image(build: Process, database_url: str, hosts: list[str], say: Say) -> None:
    """Until the image is made and every host has told of it.

    Without it the fleet is of some use still, so a failure is said and no more.
    """
    began = time.monotonic()
    while not build.ended_within(5.0):
        if time.monotonic() - began > _IMAGE_PATIENCE:
            build.kill()
        last = files.tail(build.log, 1).strip()
        say(f"building the default image ({time.monotonic() - began:.0f} s): {last}")
    if build.exit_code != 0:
        say(f"the default image could not be built ({how(build)}). The end of {build.log}:\n{files.tail(build.log)}")
        return
    engine = database.connect(database_url, pool_size=2)
    try:
        _until("the hosts to see the image", lambda: _all_have_images(engine, hosts), [build], say, alive=False)
    finally:
        engine.dispose()


def _until(what: str, done: Callable[[], bool], processes: list[Process], say: Say, *, alive: bool = True) -> None:
    began = said = time.monotonic()
    while not done():
        if alive:
            _check(processes)
        now = time.monotonic()
        if now - began > _PATIENCE:
            raise StartFailed(
                f"gave up waiting for {what} after {_PATIENCE:.0f} s; see the logs in {processes[0].log.parent}"
            )
        if now - said > 5:
            said = now
            say(f"waiting for {what} ({now - began:.0f} s)")
        time.sleep(0.1)


def _check(processes: list[Process]) -> None:
    for process in processes:
        if not process.alive:
            ended = f"{process.name} ended at its start ({how(process)})"
            raise StartFailed(f"{ended}. The end of {process.log}:\n{files.tail(process.log)}")


def _healthy(url: str) -> bool:
    try:
        return requests.get(f"{url}/api/v1/health", timeout=3).status_code == 200
    except requests.RequestException:
        return False


def _heard_of(engine: Engine, name: str, since: datetime) -> bool:
    with database.transaction(engine) as session:
        host = session.get(Host, name)
        return host is not None and host.last_seen_at >= since


def _all_have_images(engine: Engine, names: list[str]) -> bool:
    with database.transaction(engine) as session:
        return all(session.get_one(Host, name).images for name in names)


def now() -> datetime:
    """This moment, as the database writes moments."""
    return datetime.now(UTC)
