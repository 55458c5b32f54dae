"""The control plane of a backup: that of DATABASE_URL and REDIS_URL, or that of `corral up` in a folder."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cli.fleet import home
from cli.fleet.postgres import Postgres
from cli.fleet.redis import Redis
from cli.fleet.server import Server
from core import settings
from core.contract.errors import Conflict, Invalid
from core.settings import Settings

# Of programs that read the settings' file and are not ours.
_OTHERS = ("FLOWER_BASIC_AUTH",)


@dataclass(frozen=True)
class BackupServers:
    """Its servers, which answer while this is in use, and its settings as lines of NAME=value."""

    database_url: str
    redis_url: str
    settings: str


@contextmanager
def servers(configured: Settings, *, at_rest: bool) -> Iterator[BackupServers]:
    """`Invalid` where there is none. The servers of a fleet that does not run are started for as long as this is open.

    `at_rest`: `Conflict` for one of `corral up` that runs.
    """
    if configured.database_url:
        yield BackupServers(configured.database_url, configured.redis_url, _lines(_of_process()))
        return
    told = home.environment(configured.home)
    if not told:
        raise Invalid(f"there is no fleet in {configured.home}: set DATABASE_URL or CORRAL_HOME")
    if (runs := home.holder(configured.home)) and at_rest:
        raise Conflict(f"a fleet runs in {configured.home} (process {runs}): stop it first", code="fleet_runs")
    with ExitStack() as stack:
        urls = {} if runs else stack.enter_context(_started(configured.home))
        database_url, redis_url = (urls.get(name, told[name]) for name in ("DATABASE_URL", "REDIS_URL"))
        yield BackupServers(database_url, redis_url, _lines(told))


@contextmanager
def _started(folder: Path) -> Iterator[dict[str, str]]:
    """Those of the servers that are the fleet's own: where they are, by the setting that says so."""
    servers: dict[str, Server] = {"DATABASE_URL": Postgres(folder), "REDIS_URL": Redis(folder)}
    own = {name: server for name, server in servers.items() if server.working_folder.exists()}
    with home.taken(folder):
        try:
            for server in own.values():
                server.start()
            yield {name: server.url for name, server in own.items()}
        finally:
            for server in own.values():
                server.stop()


def _of_process() -> dict[str, str]:
    names = [*(variable.name for variable in settings.variables().values()), *_OTHERS]
    return {name: os.environ[name] for name in names if os.environ.get(name)}


def _lines(values: dict[str, str]) -> str:
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in sorted(values.items()))
