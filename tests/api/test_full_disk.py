"""The disk under CORRAL_HOME is full: the API's processes live, answer, and say which disk it is."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests

from api.monitoring import shared
from cli.fleet.redis import Redis
from tests.realtime.servers import Served

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="mounting a small disk takes root")


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of 16 MiB."""
    where = tmp_path / "small"
    where.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(where)], check=True)
    yield where
    subprocess.run(["umount", "--lazy", str(where)], check=True)


def _fill(where: Path) -> None:
    try:
        with (where / "filler").open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 65536)
    except OSError:
        pass
    try:
        with (where / "rest").open("wb", buffering=0) as file:
            while True:
                file.write(b"x")
    except OSError:
        pass


def test_room_is_taken_whole_or_not_at_all(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []
    monkeypatch.setattr(shared, "_held", held)
    shared.clear(small / "metrics")
    os.close(held[0])
    assert shared.take_room(small / "metrics")
    assert sum(file.stat().st_blocks * 512 for file in (small / "metrics").iterdir()) == 3 * 4 << 20
    _fill(small)
    (small / "metrics" / f"counter_{os.getpid()}.db").unlink()
    _fill(small)
    assert not shared.take_room(small / "metrics")
    assert not list((small / "metrics").glob("*.db"))


def test_what_a_killed_api_left_in_memory_is_removed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "_MEMORY", tmp_path)
    living, dead, other = (shared.folder(tmp_path, port) for port in (1, 2, 3))
    with contextlib.ExitStack() as files:
        held: list[int] = []
        monkeypatch.setattr(shared, "_held", held)
        for where in (living, dead):
            shared.clear(where)
        files.callback(os.close, held[0])
        os.close(held[1])  # as its end would do
        shared.clear(other)
        files.callback(os.close, held[2])
        assert living.exists()
        assert other.exists()
        assert not dead.exists()


@pytest.mark.parametrize("since", ["while it serves", "before it starts"])
def test_the_api_lives_on_a_full_disk_and_says_so(small: Path, database_url: str, redis: Redis, since: str) -> None:
    """Its shared figures are put on that disk here: in memory they would not be touched at all."""
    metrics = small / "metrics"
    if since == "before it starts":
        _fill(small)
    (small.parent / "log").mkdir()
    served = Served(
        small.parent / "log",
        database_url,
        redis.url,
        application="api.wsgi:application",
        CORRAL_HOME=str(small),
        CORRAL_IMAGES=str(small / "images"),
        PROMETHEUS_MULTIPROC_DIR=str(metrics),
    )
    try:
        worker = served.worker.pid
        _fill(small)
        url = f"http://127.0.0.1:{served.port}"
        for number in range(30):  # new series each time
            assert requests.get(f"{url}/api/v1/vms/x{number}", timeout=20).status_code == 401
            requests.request("PATCH", f"{url}/api/v1/vms", timeout=20)
        health = requests.get(f"{url}/api/v1/health", timeout=20).json()
        assert health["components"]["api"] == "degraded"
        assert "CORRAL_HOME" in health["problems"]["api"]
        assert str(small) not in health["problems"]["api"]
        assert served.worker.pid == worker, "no process has ended"
        assert psutil.pid_exists(worker)
    finally:
        served.stop()
