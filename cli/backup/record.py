"""The database as a whole: written out by `pg_dump`, restored by `pg_restore` and `psql`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, Any, cast

import psycopg2
from psycopg2.extensions import ISOLATION_LEVEL_REPEATABLE_READ, connection, parse_dsn
from sqlalchemy import create_engine

from cli.fleet import postgres
from cli.remote.progress import Advance
from core import database_urls, migrate
from core.contract.errors import Conflict, CorralError, Unavailable

_LOCK_SECONDS = 10  # for a table that somebody alters
_CLIENT = "apt-get install postgresql-client"
_BOUNDED = {"connect_timeout": "5", "options": f"-c lock_timeout={_LOCK_SECONDS}s"}
_COUNTED = ("hosts", "users", "vms")
_TABLES = (
    "SELECT c.relname, pg_table_size(c.oid) FROM pg_class c WHERE c.relkind IN ('r', 'p') "
    "AND c.relnamespace = 'public'::regnamespace"
)
# What an extension brings is left; nothing but that and Corral's tables is meant to be here.
_EMPTIED = """
DO $$ DECLARE it record; BEGIN
    FOR it IN SELECT oid::regclass AS name FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') LOOP
        EXECUTE format('DROP TABLE IF EXISTS %s CASCADE', it.name);
    END LOOP;
    FOR it IN SELECT p.oid::regprocedure AS name FROM pg_proc p WHERE pronamespace = 'public'::regnamespace
        AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e') LOOP
        EXECUTE format('DROP FUNCTION %s CASCADE', it.name);
    END LOOP;
END $$;
"""
_USERS = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'corral' "
    "AND pid <> pg_backend_pid()"
)
_DUMPING = re.compile(rb'dumping contents of table "public\.(\w+)"')


@dataclass(frozen=True)
class DatabaseState:
    """What a database has. `tables`: each with its bytes. `schema`: "" where Corral's are not. `connections`: API's and
    workers'."""

    tables: dict[str, int]
    schema: str
    connections: int


@dataclass(frozen=True)
class DatabaseSnapshot:
    """One moment of the record, which `dump` writes out. `holds`: rows of the tables that people know."""

    id: str
    schema: str
    sizes: dict[str, int]
    holds: dict[str, int]


class ToolFailed(CorralError):
    """A program of PostgreSQL's refused or broke; the message has its own words."""


def state(url: str) -> DatabaseState:
    """`Unavailable` for a database that can't be reached."""
    with _connected(url) as found, found.cursor() as cursor:
        cursor.execute(_TABLES)
        tables = dict(cursor.fetchall())
        cursor.execute(_USERS)
        row = cursor.fetchone()
        return DatabaseState(tables, _schema(url), row[0] if row else 0)


@contextmanager
def snapshot(url: str) -> Iterator[DatabaseSnapshot]:
    """A moment that lasts while this is open; `Conflict` where there is no record."""
    with _connected(url) as found, found.cursor() as cursor:
        found.set_session(isolation_level=ISOLATION_LEVEL_REPEATABLE_READ, readonly=True)
        cursor.execute(_TABLES)
        sizes = dict(cursor.fetchall())
        if "alembic_version" not in sizes:
            raise Conflict("there is nothing to back up: the database has no tables of Corral's", code="no_record")
        cursor.execute("SELECT pg_export_snapshot(), (SELECT version_num FROM alembic_version)")
        identity, schema = cursor.fetchone() or ("", "")
        holds = {}
        for table in _COUNTED:
            cursor.execute(f"SELECT count(*) FROM {table}")  # noqa: S608 - a name of ours
            holds[table] = (cursor.fetchone() or (0,))[0]
        yield DatabaseSnapshot(identity, schema, sizes, holds)


def dump(url: str, moment: DatabaseSnapshot, to: IO[bytes], advance: Advance) -> None:
    """Writes all of it in pg_dump's own format. `advance` is told of the bytes that tables have in the database."""
    place, password = database_urls.for_programs(url)
    options = ["--format=custom", "--verbose", "--no-owner", "--no-privileges", f"--snapshot={moment.id}"]
    options.append(f"--lock-wait-timeout={_LOCK_SECONDS}s")
    program = [postgres.binary("pg_dump", _CLIENT), *options, f"--dbname={place}"]
    with subprocess.Popen(program, stdout=to, stderr=subprocess.PIPE, env=_environment(password)) as running:
        said, at_work = [], 0
        for line in running.stderr or ():
            said.append(line)
            if table := _DUMPING.search(line):
                advance(at_work)
                at_work = moment.sizes.get(table[1].decode(), 0)
        advance(at_work)
    if running.returncode:
        raise ToolFailed(f"pg_dump failed: {_why(said)}")


def load(url: str, content: Callable[[IO[bytes]], None]) -> None:
    """Puts a record in the place of all that is there, in one transaction: `ToolFailed` leaves what was there.

    `content` writes the dump into what it is given.
    """
    place, password = database_urls.for_programs(url)
    script = [postgres.binary("pg_restore", _CLIENT), "--no-owner", "--no-privileges", "--file=-"]
    sql = [postgres.binary("psql", _CLIENT), "--no-psqlrc", "--quiet", "--output=/dev/null", "--set=ON_ERROR_STOP=1"]
    steps = ["BEGIN", f"SET lock_timeout = '{_LOCK_SECONDS}s'", _EMPTIED]
    sql += [*(f"--command={step}" for step in steps), "--file=-", f"--dbname={place}"]
    with ThreadPoolExecutor(1) as pool, tempfile.TemporaryFile() as said:
        piped: dict[str, Any] = {"stdin": subprocess.PIPE, "stderr": said, "env": _environment(password)}
        with (
            subprocess.Popen(script, stdout=subprocess.PIPE, **piped) as reading,
            subprocess.Popen(sql, **piped) as put,
        ):
            fed = pool.submit(_fed, cast(IO[bytes], reading.stdin), content)
            with suppress(BrokenPipeError):  # one of them has ended, and says why
                _passed_on(reading, cast(IO[bytes], put.stdin))
        fed.result()
        if reading.returncode or put.returncode:
            said.seek(0)
            raise ToolFailed(f"the database was not restored, and nothing was changed: {_why(said.readlines())}")


def _fed(to: IO[bytes], content: Callable[[IO[bytes]], None]) -> None:
    with suppress(BrokenPipeError), to:
        content(to)


def _passed_on(reading: subprocess.Popen[bytes], to: IO[bytes]) -> None:
    """All that is to be done, and the word to commit it once it is known to be all."""
    with to:
        shutil.copyfileobj(cast(IO[bytes], reading.stdout), to)
        if reading.wait() == 0:
            to.write(b"COMMIT;\n")


def _environment(password: str) -> dict[str, str]:
    ours = {"LC_ALL": "C", "PGAPPNAME": "corral restore", "PGCONNECT_TIMEOUT": "5"}
    return {**os.environ, **ours, **({"PGPASSWORD": password} if password else {})}


def _why(lines: list[bytes]) -> str:
    texts = [line.decode(errors="replace").strip() for line in lines]
    errors = [text for text in texts if "error" in text.lower() or "fatal" in text.lower()]
    return (errors or texts or ["it said nothing"])[0]


def _schema(url: str) -> str:
    engine = create_engine(database_urls.engine_url(url))
    try:
        with engine.connect() as found:
            return migrate.schema_of(found)
    finally:
        engine.dispose()


@contextmanager
def _connected(url: str) -> Iterator[connection]:
    place, password = database_urls.for_programs(url)
    try:
        made = psycopg2.connect(**(_BOUNDED | parse_dsn(place)), password=password or None)
    except psycopg2.OperationalError as error:
        reason = str(error).strip()
        raise Unavailable(f"the database can't be reached ({reason}): check DATABASE_URL") from None
    try:
        yield made
    except psycopg2.Error as error:
        raise Unavailable(f"the database refused: {str(error).strip()}") from None
    finally:
        made.close()
