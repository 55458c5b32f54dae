"""PostgreSQL and Redis for a fleet: private ones, unless their addresses are given."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import redis
from sqlalchemy.exc import SQLAlchemyError

from cli.fleet.plan import FleetPlan
from cli.fleet.postgres import Postgres
from cli.fleet.processes import StartFailed
from cli.fleet.redis import Redis
from cli.fleet.server import Server
from core import migrate, redis_clients


def planned(plan: FleetPlan) -> list[Server]:
    """Those that the plan makes us start."""
    servers: list[Server] = []
    if not plan.redis_url:
        servers.append(Redis(plan.home))
    if not plan.database_url:
        servers.append(Postgres(plan.home, durable=plan.durable))
    return servers


def start(servers: list[Server]) -> None:
    """Starts them side by side; each answers when this returns."""
    with ThreadPoolExecutor() as pool:
        for started in [pool.submit(server.start) for server in servers]:
            started.result()


def addresses(plan: FleetPlan, servers: list[Server]) -> tuple[str, str]:
    """The URLs of the database and of Redis."""
    urls = {server.name: server.url for server in servers}
    return _with_driver(plan.database_url) or urls["postgres"], plan.redis_url or urls["redis"]


def _with_driver(url: str) -> str:
    """Names psycopg2 in an address that leaves the driver open: SQLAlchemy would take another."""
    scheme, mark, rest = url.partition("://")
    return f"postgresql+psycopg2{mark}{rest}" if scheme in ("postgres", "postgresql") else url


def prepare(database_url: str, redis_url: str) -> None:
    """Brings the tables up to date; `StartFailed` when one of the two servers can't be used."""
    try:
        with redis_clients.connect(redis_url, seconds=5) as client:
            client.ping()
    except redis.RedisError as error:
        raise StartFailed(f"Redis can't be used ({error}): check REDIS_URL") from error
    try:
        migrate.upgrade(database_url)
    except SQLAlchemyError as error:
        why = str(getattr(error, "orig", error)).strip()
        raise StartFailed(f"the database can't be migrated ({why}): check DATABASE_URL") from error
