"""A private Redis: loopback only, with a password; what is written is on disk within a second."""

from __future__ import annotations

import signal
from pathlib import Path

import redis

from cli.fleet.server import Server
from core import durable, redis_clients

_CONFIGURATION = """\
bind 127.0.0.1
port {port}
requirepass {password}
dir {folder}
daemonize no
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
"""


class Redis(Server):
    """redis-server with its data in `<home>/redis`."""

    program = "redis-server"
    death_signal = signal.SIGTERM

    def __init__(self, home: Path) -> None:
        super().__init__("redis", home)

    @property
    def working_folder(self) -> Path:
        return self.home / "redis"

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def prepare(self) -> None:
        """The password goes into a file, as anyone may read a command line."""
        self.working_folder.mkdir(mode=0o700, exist_ok=True)
        configuration = self.home / "redis.conf"
        quoted = '"' + str(self.working_folder).replace("\\", "\\\\").replace('"', '\\"') + '"'
        text = _CONFIGURATION.format(port=self.port, password=self.password, folder=quoted)
        durable.write_private(configuration, text)
        self.command = [self.program, str(configuration)]

    def answers(self) -> bool:
        try:
            with redis_clients.connect(self.url, seconds=2) as client:
                return bool(client.ping())
        except redis.RedisError:  # not there yet, or reading its log
            return False
