"""Redis accounts for the hosts of a fleet on one machine: as after a join, without the API."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote, urlsplit

from cli.fleet import files


def obtain(home: Path, database_url: str, redis_url: str, hosts: Sequence[str]) -> dict[str, str]:
    """Each host's address of Redis, with an account of its own; it has the same secret at every start."""
    from core import database
    from core.dispatch import Dispatch
    from core.services import context
    from core.services.identities import accounts

    engine, dispatch = database.connect(database_url, pool_size=1), Dispatch(redis_url)
    secrets = {host: _secret(home / "hosts" / host) for host in hosts}
    try:
        with database.transaction(engine) as session:
            context.use(session, dispatch)
            for host, secret in secrets.items():
                accounts.admit(session, host, accounts.digest(secret))
    finally:
        engine.dispose()
        dispatch.close()
    return {host: address(redis_url, host, secret) for host, secret in secrets.items()}


def _secret(folder: Path) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    return files.kept_secret(folder / "redis.secret")


def address(redis_url: str, host: str, secret: str) -> str:
    """The same Redis, as that host's agent comes there."""
    from core.contract import channels

    parts = urlsplit(redis_url)
    place = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{channels.account(host)}:{quote(secret, safe='')}@{place}").geturl()
