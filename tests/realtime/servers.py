"""gunicorn as the API runs under it, one worker, serving what a test gives it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil

from tests.realtime.clients import SocketClient
from tests.support.waiting import until

_ROOT = Path(__file__).parents[2]


class Served:
    """`port`, `log`, and the process."""

    def __init__(
        self,
        folder: Path,
        database_url: str,
        redis_url: str,
        *,
        application: str = "tests.realtime.served:application",
        **environment: str,
    ) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.log = folder / f"gunicorn-{self.port}.log"
        settings = {
            "CORRAL_HOME": str(folder),
            "CORRAL_PORT": str(self.port),
            "CORRAL_API_WORKERS": "1",
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "RATE_LIMIT_BURST": "1000000",
            "RATE_LIMIT_HOURLY": "1000000",
            "PYTHONPATH": str(_ROOT),
        }
        command = [sys.executable, "-m", "gunicorn", "-c", "python:api.gunicorn", application]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=_ROOT, env={**os.environ, **settings, **environment}, stdout=log, stderr=log
            )
        self._wait()

    def client(self, path: str, key: str = "", *, buffer: int = 0, pongs: bool = True) -> SocketClient:
        """A connected client; `key` goes into a Bearer header."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return SocketClient(self.port, path, headers, buffer=buffer, pongs=pongs)

    @property
    def worker(self) -> psutil.Process:
        """The worker process."""
        return psutil.Process(self.process.pid).children()[0]

    def stop(self, number: int = signal.SIGTERM, seconds: float = 20) -> None:
        """End it, by force after so many seconds."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            self.process.wait(seconds)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()

    def _wait(self) -> None:
        try:
            until(self._answers, why=self.log.read_text, despite=OSError)
        except AssertionError:
            self.process.kill()
            raise

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        with socket.create_connection(("127.0.0.1", self.port), 1) as probe:
            probe.settimeout(20)
            probe.sendall(b"GET /nothing HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
            return probe.recv(100).startswith(b"HTTP/1.1")
