"""`corral restore`: replaces a database completely or not at all, and prepares it to be used again."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import redis

from cli.backup import archive, record, secrecy
from cli.backup.archive import Archive, BackupManifest
from cli.backup.place import BackupServers
from cli.backup.taking import Bar
from core import database, durable, migrate, settings
from core.contract import channels
from core.contract.errors import Conflict, Invalid
from core.dispatch import Dispatch
from core.services import context, restored
from core.services.restored import RestoreResult

_RECENT_SECONDS = 60.0  # a worker says every few seconds that it is alive


@contextmanager
def checked(source: Path, identity: Path | None, bar: Bar) -> Iterator[Archive]:
    """The backup in that file, which is whole, and of a release that this one can go on from."""
    with ExitStack() as open_files:
        try:
            file = open_files.enter_context(source.open("rb"))
            plain = _plain(file, identity, open_files.enter_context(tempfile.TemporaryFile()))
        except OSError as error:
            raise Invalid(f"{source} can't be read: {error.strerror or error}") from None
        backup = open_files.enter_context(archive.opened(plain))
        with bar("checking", backup.manifest.bytes) as advance:
            backup.check(advance)
        migrate.steps(backup.manifest.schema)
        yield backup


def put_back(place: BackupServers, backup: Archive, bar: Bar, *, replace: bool) -> RestoreResult:
    """Restores it. What was there is there still if anything fails before its end.

    `Conflict` while the fleet runs, and for a database that is not empty, unless with `replace`.
    """
    _must_be_at_rest(place)
    _must_have_place(place, replace=replace)
    with bar("restoring", backup.manifest.bytes) as advance:
        record.load(place.database_url, lambda to: backup.copy(archive.RECORD, to, advance))
    migrate.upgrade(place.database_url)
    return _adapt(place, backup.manifest)


def write_settings(backup: Archive, to: Path) -> None:
    """Writes the settings that the control plane had; `Conflict` for a file that is there."""
    if to.exists():
        raise Conflict(f"{to} exists, and --settings overwrites no file", code="file_exists")
    try:
        with durable.writing(to, mode=0o600) as file:
            backup.copy(archive.SETTINGS, file, lambda _: None)
    except OSError as error:
        raise Invalid(f"{to} can't be written: {error.strerror or error}") from None


def moment(manifest: BackupManifest) -> datetime:
    """When the record was so."""
    return datetime.fromtimestamp(manifest.taken_at, UTC)


def _plain(file: BinaryIO, identity: Path | None, to: IO[bytes]) -> BinaryIO:
    if not secrecy.is_sealed(file):
        return file
    if identity is None:
        raise Invalid("the backup is encrypted: give the file with the secret key with --identity")
    secrecy.unseal(file, to, secrecy.identities(identity))
    return cast(BinaryIO, to)


def _must_be_at_rest(place: BackupServers) -> None:
    """Connections show API and workers at work; a worker whose database is away shows itself in Redis alone."""
    if connections := record.state(place.database_url).connections:
        raise Conflict(
            f"the fleet runs: API or workers have {connections} connections to the database; stop them first",
            code="fleet_runs",
        )
    before = _workers(place.redis_url)
    if any(score > time.time() - _RECENT_SECONDS for score in before.values()):
        time.sleep(settings.load().sweep_seconds + 1)
    if alive := [name for name, score in _workers(place.redis_url).items() if score > before.get(name, 0.0)]:
        raise Conflict(f"the fleet runs (worker {alive[0]}): stop API and workers first", code="fleet_runs")


def _workers(redis_url: str) -> dict[str, float]:
    """When each was last alive; none where Redis is away, without which none works."""
    dispatch = Dispatch(redis_url)
    try:
        found: Any = dispatch.redis.zrange(channels.WORKERS, 0, -1, withscores=True)
        return {name.decode(errors="replace"): score for name, score in found}
    except (redis.RedisError, OSError):
        return {}
    finally:
        dispatch.close()


def _must_have_place(place: BackupServers, *, replace: bool) -> None:
    found = record.state(place.database_url)
    if found.tables and not found.schema:
        raise Conflict(
            f"the database has tables that are not Corral's ('{min(found.tables)}'): use another database",
            code="not_empty",
        )
    if found.tables and not replace:
        raise Conflict(
            "the database is not empty: --replace replaces it with the backup, and its content is lost",
            code="not_empty",
        )


def _adapt(place: BackupServers, manifest: BackupManifest) -> RestoreResult:
    engine, dispatch = database.connect(place.database_url, pool_size=1), Dispatch(place.redis_url)
    about = {"release": manifest.release, "schema": manifest.schema}
    try:
        _forget_commands(dispatch)
        with database.transaction(engine) as session:
            return restored.adapt(context.use(session, dispatch), moment(manifest), about)
    finally:
        engine.dispose()
        dispatch.close()


def _forget_commands(dispatch: Dispatch) -> None:
    """Those that wait for hosts may be of operations that the record has not; those that it has are sent anew."""

    def forget() -> None:
        for queue in dispatch.redis.scan_iter(match=f"{channels.command_queue('')}*", count=1000, _type="list"):
            dispatch.redis.delete(queue)

    dispatch.attempt(forget, "commands of operations that are not in the backup may wait for hosts")
