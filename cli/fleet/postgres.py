"""A private PostgreSQL: loopback only, with a password, never as root."""

from __future__ import annotations

import shutil
import signal
import subprocess
from pathlib import Path

import psycopg2
from psycopg2 import sql

from cli.fleet import files
from cli.fleet.privileges import SystemAccount
from cli.fleet.processes import StartFailed
from cli.fleet.server import Server
from core import durable

_USER = _DATABASE = "corral"
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "max_wal_size": "256MB",
    "synchronous_commit": "on",
    "jit": "off",  # its start costs more than our short queries take
    "timezone": "UTC",
    "log_timezone": "UTC",
}


class Postgres(Server):
    """PostgreSQL with its data in `<home>/postgres/data`. Without `durable` it is quick and forgets at a power cut."""

    program = "postgres"
    stop_signal = signal.SIGINT  # "fast": ends the sessions, writes everything, leaves
    death_signal = signal.SIGINT

    def __init__(self, home: Path, *, durable: bool = True) -> None:
        super().__init__("postgres", home)
        self.durable = durable

    @property
    def working_folder(self) -> Path:
        return self.home / "postgres" / "data"

    @property
    def url(self) -> str:
        return self.url_of(_DATABASE)

    def url_of(self, database: str) -> str:
        """Of another database in the same server."""
        return f"postgresql+psycopg2://{_USER}:{self.password}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Starts it and makes the database the first time."""
        super().start()
        self.create_database(_DATABASE)

    def create_database(self, name: str) -> str:
        """Makes that database unless it is there; its URL."""
        connection = self._connect()
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,))
                if cursor.fetchone() is None:
                    cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        finally:
            connection.close()
        return self.url_of(name)

    def _connect(self) -> psycopg2.extensions.connection:
        return psycopg2.connect(
            host="127.0.0.1",
            port=self.port,
            user=_USER,
            password=self.password,
            dbname="postgres",
            connect_timeout=5,
        )

    def answers(self) -> bool:
        try:
            self._connect().close()
        except psycopg2.OperationalError:  # not there yet, or recovering
            return False
        return True

    def prepare(self) -> None:
        folder = self.working_folder.parent
        folder.mkdir(mode=0o700, exist_ok=True)
        account = SystemAccount.for_server(folder)
        if not self.working_folder.exists():
            self._make_cluster(account)
        settings = _SETTINGS | {"port": str(self.port)}
        if not self.durable:
            settings |= {"fsync": "off", "full_page_writes": "off"}
        flags = [flag for name, value in settings.items() for flag in ("-c", f"{name}={value}")]
        self._forget_dead_postmaster()
        self.command = account.command(
            [binary("postgres"), "-D", f"{account.folder}/data", *flags], death_signal=self.death_signal
        )

    def _forget_dead_postmaster(self) -> None:
        """After a reboot the pid in the lock file may be another program's, and PostgreSQL would refuse to start."""
        (self.working_folder / "postmaster.pid").unlink(missing_ok=True)

    def _make_cluster(self, account: SystemAccount) -> None:
        """Under another name first, so that a kill in the middle leaves nothing that looks whole."""
        folder = self.working_folder.parent
        unfinished, password = folder / "data.new", folder / "password"
        shutil.rmtree(unfinished, ignore_errors=True)
        durable.write_private(password, self.password)
        account.own(password)
        initdb = [binary("initdb"), "-D", f"{account.folder}/data.new", "--username", _USER, "--encoding=UTF8"]
        initdb += ["--locale=C.UTF-8", "--auth=scram-sha-256", f"--pwfile={account.folder}/password"]
        initdb += ["--data-checksums", "--no-instructions", *([] if self.durable else ["--no-sync"])]
        with self.log.open("ab") as log:
            made = subprocess.run(account.command(initdb), stdout=log, stderr=log, timeout=120, check=False)
        password.unlink()
        if made.returncode != 0:
            raise StartFailed(f"initdb failed. The end of {self.log}:\n{files.tail(self.log)}")
        unfinished.rename(self.working_folder)


def binary(name: str, package: str = "apt-get install postgresql-15, or set DATABASE_URL") -> str:
    """From the newest release that Debian has here: not all of its programs are on the PATH. `package` brings it."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4]))
    if found:
        return str(found[-1])
    on_path = shutil.which(name)
    if on_path is None:
        raise StartFailed(f"PostgreSQL's {name} is not installed: {package}")
    return on_path
