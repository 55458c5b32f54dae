"""The private PostgreSQL and Redis: they keep what they are given, through every kind of death."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
from redis import AuthenticationError
from redis import Redis as Client
from redis.backoff import NoBackoff
from redis.retry import Retry

from cli.fleet.postgres import Postgres
from cli.fleet.processes import StartFailed, occupants
from cli.fleet.redis import Redis
from tests.support.waiting import until


def query(server: Postgres, statement: str) -> list[tuple[object, ...]]:
    connection = psycopg2.connect(server.url.replace("+psycopg2", ""))
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


@pytest.fixture
def own_postgres(tmp_path: Path) -> Iterator[Postgres]:
    server = Postgres(tmp_path / "home", durable=False)
    yield server
    server.stop()


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[Redis]:
    server = Redis(tmp_path / "home")
    yield server
    server.stop()


def test_what_was_committed_outlives_kill_9_on_the_same_port(own_postgres: Postgres) -> None:
    own_postgres.start()
    port = own_postgres.port
    query(own_postgres, "CREATE TABLE kept AS SELECT 42 AS answer")
    own_postgres.kill()
    own_postgres.start()
    assert own_postgres.port == port
    assert query(own_postgres, "SELECT answer FROM kept") == [(42,)]


def test_postgres_checks_its_pages_and_waits_for_its_log(tmp_path: Path) -> None:
    server = Postgres(tmp_path)
    server.start()
    try:
        shown = [query(server, f"SHOW {name}")[0][0] for name in ("data_checksums", "synchronous_commit", "fsync")]
        assert shown == ["on", "on", "on"]
    finally:
        server.stop()


def test_a_wrong_password_is_refused(own_postgres: Postgres, own_redis: Redis) -> None:
    own_postgres.start()
    own_redis.start()
    with pytest.raises(psycopg2.OperationalError, match="authentication failed"):
        psycopg2.connect(host="127.0.0.1", port=own_postgres.port, user="corral", password="guess", dbname="corral")
    with pytest.raises(AuthenticationError), Client(port=own_redis.port, retry=Retry(NoBackoff(), 0)) as client:
        client.ping()


@pytest.mark.parametrize("make", [Postgres, Redis])
def test_passwords_are_in_private_files_and_on_no_command_line(
    tmp_path: Path, make: type[Postgres] | type[Redis]
) -> None:
    server = make(tmp_path)
    server.start()
    try:
        holders = [path for path in tmp_path.iterdir() if path.is_file() and server.password in path.read_text()]
        assert holders
        assert all(path.stat().st_mode & 0o777 == 0o600 for path in holders)
        assert server.password not in Path(f"/proc/{server.pid}/cmdline").read_text()
    finally:
        server.stop()


@pytest.mark.parametrize("make", [Postgres, Redis])
def test_a_taken_port_is_given_up_for_another(tmp_path: Path, make: type[Postgres] | type[Redis]) -> None:
    server = make(tmp_path)
    server.start()
    port = server.port
    server.stop()
    with socket.create_server(("127.0.0.1", port)):
        server.start()
        assert server.port != port
        assert server.answers()
        server.stop()


def test_redis_keeps_what_it_was_told(own_redis: Redis) -> None:
    own_redis.start()
    with Client.from_url(own_redis.url) as client:
        client.set("kept", "yes")
    own_redis.restart()
    with Client.from_url(own_redis.url) as client:
        assert client.get("kept") == b"yes"
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


_START_AND_DIE = """
import os, sys
from pathlib import Path
from cli.fleet.postgres import Postgres
from cli.fleet.redis import Redis
home = Path(sys.argv[1])
Postgres(home, durable=False).start()
Redis(home).start()
os.kill(os.getpid(), 9)
"""


def test_servers_leave_with_a_killed_supervisor_and_the_next_one_starts_well(tmp_path: Path) -> None:
    died = subprocess.run([sys.executable, "-c", _START_AND_DIE, str(tmp_path)], timeout=60, check=False)
    assert died.returncode == -signal.SIGKILL
    for server in (Postgres(tmp_path, durable=False), Redis(tmp_path)):
        server.start()  # at once, while the former may still be leaving
        server.stop()
        assert server.exit_code == 0


def test_servers_end_by_themselves_when_their_supervisor_is_killed(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", _START_AND_DIE, str(tmp_path)], timeout=60, check=False)
    folders = {"postgres": tmp_path / "postgres" / "data", "redis-server": tmp_path / "redis"}
    until(lambda: not any(occupants(folder, program) for program, folder in folders.items()))


def test_a_lock_file_from_before_a_reboot_does_not_stop_postgres(own_postgres: Postgres) -> None:
    own_postgres.start()
    lock = own_postgres.working_folder / "postmaster.pid"
    text = lock.read_text().splitlines()
    own_postgres.stop()
    with subprocess.Popen(["sleep", "60"], user=lock.parent.stat().st_uid) as bystander:
        lock.write_text("\n".join([str(bystander.pid), *text[1:]]) + "\n")
        own_postgres.start()
        bystander.kill()
    assert own_postgres.answers()


@pytest.mark.parametrize("make", [Postgres, Redis])
def test_a_server_that_a_lost_supervisor_left_behind_gives_way(
    tmp_path: Path, make: type[Postgres] | type[Redis]
) -> None:
    left, server = make(tmp_path), make(tmp_path)
    left.start()
    server.start()
    try:
        assert not left.alive
        assert server.answers()
    finally:
        server.stop()


def test_an_interrupted_initdb_is_begun_anew(own_postgres: Postgres) -> None:
    half = own_postgres.home / "postgres" / "data.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("15\n")
    own_postgres.start()
    assert own_postgres.answers()


def test_a_broken_data_folder_is_shown_with_the_end_of_the_log(own_postgres: Postgres) -> None:
    own_postgres.start()
    own_postgres.stop()
    (own_postgres.working_folder / "global" / "pg_control").unlink()
    with pytest.raises(StartFailed, match="pg_control"):
        own_postgres.start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a folder that PostgreSQL's user may not enter")
def test_as_root_it_works_under_a_folder_that_only_root_may_enter(tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o700)
    server = Postgres(locked / "home", durable=False)
    server.start()
    try:
        assert Path(f"/proc/{server.pid}").stat().st_uid != 0
        assert locked.stat().st_mode & 0o777 == 0o700
        assert str(locked) not in Path("/proc/self/mounts").read_text()
    finally:
        server.stop()
