"""What is installed below a folder of the test's own, and backups of a database of its own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.fleet.postgres import Postgres
from cli.fleet.redis import Redis
from cli.install.commands import install
from cli.main import main
from core import database, migrate
from core.contract import channels
from core.dispatch import Dispatch
from tests.deploy.backups import Corral, Old, drop
from tests.support.record import Record


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder that stands for `/`."""
    return tmp_path / "root"


def installed(role: str, root: Path, *options: str, prefix: str = "/srv/corral") -> Result:
    """What `corral install` says."""
    return CliRunner().invoke(install, [role, "--root", str(root), "--prefix", prefix, *options])


@pytest.fixture
def units(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Both roles' units, for the Corral that runs the tests, which may be in a folder that services do not see."""
    monkeypatch.setattr("cli.install.units.HIDDEN", ())
    for role in ("control", "agent"):
        assert installed(role, root, prefix=sys.prefix).exit_code == 0
    return root / "etc" / "systemd" / "system"


@pytest.fixture
def corral(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> Iterator[Corral]:
    """A command on a database, as its operator has it; it has to end with `code`, and never by a fault of its own."""
    monkeypatch.setenv("REDIS_URL", redis.url)
    monkeypatch.setenv("CORRAL_SWEEP_SECONDS", "1")

    def run(database_url: str, *words: object, code: int = 0) -> str:
        monkeypatch.setenv("DATABASE_URL", database_url)
        result = CliRunner().invoke(main, [str(word) for word in words])
        assert result.exit_code == code, (result.output, result.exc_info)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
        return result.output

    yield run
    Dispatch(redis.url).redis.delete(channels.WORKERS)


@pytest.fixture
def old(postgres: Postgres, redis: Redis) -> Iterator[Old]:
    """One that has just been backed up, or is going to be."""
    url = postgres.create_database("backup_old")
    migrate.upgrade(url)
    kept = Record(database.connect(url, pool_size=1), Dispatch(redis.url))
    owner = kept.caller("admin")
    kept.add_host("host-a")
    kept.tell(kept.vm(owner, "web"), times=3)
    kept.engine.dispose()
    yield Old(url, owner, kept)
    kept.engine.dispose()
    drop(postgres, "backup_old")


@pytest.fixture
def new(postgres: Postgres) -> Iterator[str]:
    """An empty database."""
    yield postgres.create_database("backup_new")
    drop(postgres, "backup_new")


@pytest.fixture
def file(corral: Corral, old: Old, tmp_path: Path) -> Path:
    """A backup of it."""
    corral(old.url, "backup", tmp_path / "one.backup")
    return tmp_path / "one.backup"
