"""What `corral backup` and `corral restore` refuse, and what fails half way: nothing is lost by it."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import threading
import time
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import create_engine, text

from cli.backup import archive
from cli.fleet.postgres import Postgres
from cli.fleet.redis import Redis
from core import database, migrate
from core.contract import channels
from core.dispatch import Dispatch
from tests.deploy.backups import Corral, Old, content, execute
from tests.support.waiting import until


def _places(size: int) -> list[int]:
    """Of bytes to change, spread over all; what is behind the last part is padding, which nobody reads."""
    return [*range(0, size - 12_000, max(1, size // 60))]


def test_no_damaged_file_is_restored(corral: Corral, new: str, file: Path, tmp_path: Path) -> None:
    whole, broken = file.read_bytes(), tmp_path / "broken"
    padding = _padding(file)
    changed = 0
    for place in _places(len(whole)):
        if place in padding:
            continue
        broken.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert "damaged" in corral(new, "restore", broken, code=1), place
        changed += 1
    assert changed > 40
    for length in (0, 1, 100, 600, 3000, len(whole) // 2, len(whole) - 20_000):
        broken.write_bytes(whole[:length])
        assert "damaged" in corral(new, "restore", broken, code=1), length
    assert "can't be read" in corral(new, "restore", tmp_path / "none", code=1)
    assert content(new) == {}


def _padding(file: Path) -> set[int]:
    """Where the archive has nothing: a tar's blocks are filled up."""
    found: set[int] = set()
    with tarfile.open(file) as tar:
        for member in tar.getmembers():
            end = member.offset_data + member.size
            found |= set(range(end, -(-end // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE))
            found |= set(range(member.offset + 345, member.offset_data))  # a header's prefix and padding
    return found


def _written(file: Path, to: Path, dump: bytes, **changes: Any) -> None:
    """Another backup like that one, with another record, and sums that are right."""
    with file.open("rb") as source, archive.opened(source) as found:
        part = archive.part_of(BytesIO(dump))
        manifest = replace(found.manifest, parts=found.manifest.parts | {archive.RECORD: part}, **changes)
        settings = BytesIO()
        found.copy(archive.SETTINGS, settings, lambda _: None)
    with to.open("wb") as target:
        contents: dict[str, Any] = {archive.RECORD: BytesIO(dump), archive.SETTINGS: settings}
        archive.write(target, manifest, contents, lambda _: None)


def _dump(file: Path) -> bytes:
    with file.open("rb") as source, archive.opened(source) as found:
        content = BytesIO()
        found.copy(archive.RECORD, content, lambda _: None)
        return content.getvalue()


def test_what_fails_half_way_leaves_what_was_there(corral: Corral, old: Old, file: Path, tmp_path: Path) -> None:
    """pg_restore ends in the middle: psql has done all that came before, and must not keep it."""
    before, dump = content(old.url), _dump(file)
    for share in (0.5, 0.9, 0.99):
        _written(file, tmp_path / "cut", dump[: int(len(dump) * share)])
        assert "nothing was changed" in corral(old.url, "restore", tmp_path / "cut", "--replace", code=1)
        assert content(old.url) == before


def test_a_table_that_somebody_holds_is_not_waited_for(corral: Corral, old: Old, file: Path) -> None:
    before = content(old.url)
    engine = create_engine(old.url)
    with engine.connect() as holder:
        holder.execute(text("LOCK TABLE vms IN ACCESS SHARE MODE"))
        assert "nothing was changed: " in (told := corral(old.url, "restore", file, "--replace", code=1))
        assert "lock timeout" in told
    engine.dispose()
    assert content(old.url) == before


def test_a_record_is_replaced_only_if_that_is_said(corral: Corral, old: Old, file: Path) -> None:
    old.record.caller()
    old.record.engine.dispose()
    execute(old.url, "CREATE TABLE later (x int)", "CREATE FUNCTION later() RETURNS int LANGUAGE sql AS 'SELECT 1'")
    assert "--replace replaces it with the backup" in corral(old.url, "restore", file, code=1)
    assert len(content(old.url)["users"]) == 2
    corral(old.url, "restore", file, "--replace")
    assert len(content(old.url)["users"]) == 1
    assert "later" not in content(old.url)
    migrate.check(old.url)


def test_nobody_elses_tables_are_touched(corral: Corral, new: str, file: Path) -> None:
    execute(new, "CREATE TABLE somebodys (x int)")
    for words in ((), ("--replace",)):
        assert "tables that are not Corral's ('somebodys')" in corral(new, "restore", file, *words, code=1)
    assert content(new) == {"somebodys": []}


def test_nothing_is_restored_beneath_a_fleet_that_runs(corral: Corral, redis: Redis, new: str, file: Path) -> None:
    engine = database.connect(new, pool_size=1)
    with engine.connect():
        assert "API or workers have 1 connections" in corral(new, "restore", file, code=1)
    engine.dispose()
    ended, client = threading.Event(), Dispatch(redis.url).redis
    worker = threading.Thread(target=_live, args=(client, ended))
    worker.start()
    try:
        until(lambda: client.zcard(channels.WORKERS), why="the worker is there")
        assert "the fleet runs (worker here:1)" in corral(new, "restore", file, code=1)
    finally:
        ended.set()
        worker.join()
    assert content(new) == {}
    corral(new, "restore", file)  # one that has just ended is in no way


def _live(client: Any, ended: threading.Event) -> None:
    while not ended.wait(0.1):
        client.zadd(channels.WORKERS, {"here:1": time.time()})


def test_a_newer_record_is_not_for_this_release(corral: Corral, new: str, file: Path, tmp_path: Path) -> None:
    refused: list[tuple[dict[str, Any], str]] = [
        ({"schema": "9999"}, "of a newer release: their schema is 9999"),
        ({"schema": "0000"}, "the tables are too old: their schema is 0000"),
        ({"schema": "mine"}, "which no release of Corral has"),
        ({"format": 2}, "the backup has format 2"),
    ]
    for number, (changes, why) in enumerate(refused):
        _written(file, tmp_path / str(number), _dump(file), **changes)
        assert why in corral(new, "restore", tmp_path / str(number), code=1)
    assert content(new) == {}


def test_what_can_not_be_backed_up_leaves_no_file(
    corral: Corral, postgres: Postgres, old: Old, new: str, tmp_path: Path
) -> None:
    assert "nothing to back up" in corral(new, "backup", tmp_path / "none", code=1)
    nowhere = "postgresql://corral:a-secret@127.0.0.1:1/x"
    away = corral(nowhere, "backup", tmp_path / "none", code=1)
    assert "check DATABASE_URL" in away
    assert "a-secret" not in away
    assert "can't be written to, or is not a folder" in corral(old.url, "backup", tmp_path / "no" / "none", code=1)
    execute(postgres.url, "CREATE ROLE weak LOGIN PASSWORD 'a-secret'")
    execute(old.url, "GRANT SELECT ON alembic_version, hosts, users, vms TO weak")
    weak = old.url.replace(f"corral:{postgres.password}", "weak:a-secret")
    refused = corral(weak, "backup", tmp_path / "none", code=1)
    assert "pg_dump failed: pg_dump: error:" in refused
    assert "permission denied" in refused
    assert "a-secret" not in refused
    execute(old.url, "DROP OWNED BY weak", "DROP ROLE weak")
    assert list(tmp_path.iterdir()) == []


def test_no_file_is_written_over(corral: Corral, old: Old, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_text("a backup of yesterday")
    assert "overwrites no file" in corral(old.url, "backup", kept, code=1)
    assert kept.read_text() == "a backup of yesterday"


def test_one_that_is_killed_leaves_no_file_and_no_command_line_shows_a_password(
    old: Old, postgres: Postgres, tmp_path: Path
) -> None:
    slowly = {**os.environ, "DATABASE_URL": old.url, "PGOPTIONS": "-c post_auth_delay=5"}
    words = [sys.executable, "-m", "cli.main", "backup", str(tmp_path / "x.backup")]
    with subprocess.Popen(words, env=slowly) as running:
        dump = until(lambda: _child(running.pid, "pg_dump"), why="pg_dump runs")
        shown = dump.cmdline()
        running.kill()
    assert any("dbname=backup_old" in word for word in shown)
    assert not any(postgres.password in word for word in shown)
    until(lambda: not dump.is_running(), why="pg_dump has ended")
    assert list(tmp_path.iterdir()) == []


def _child(pid: int, name: str) -> psutil.Process | None:
    return next((each for each in psutil.Process(pid).children() if each.name() == name), None)
