"""The configuration of gunicorn for the API: `gunicorn -c python:api.gunicorn`.

The WSGI callable has an attribute `realtime`, the process's Hub.
"""

from __future__ import annotations

import os
import resource
import shutil
from pathlib import Path
from typing import Any

from api.monitoring import shared
from api.realtime import waits
from core import allocation, images, settings

_settings = settings.load()
_host = f"[{_settings.host}]" if ":" in _settings.host else _settings.host

wsgi_app = "api.wsgi:application"
proc_name = "corral-api"
bind = f"{_host}:{_settings.port}"
worker_class = "api.realtime.worker.Worker"
workers = _settings.api_workers
worker_connections = 2000
timeout = 30  # a worker whose event loop stands still for so long is replaced
graceful_timeout = 30
keepalive = 5
limit_request_line = 8190  # the longest that gunicorn takes
accesslog = None  # the API logs its requests itself, with their ids
loglevel = _settings.log_level.lower()
control_socket_disable = True  # it would be one file for all instances of a user
preload_app = False  # threads, connections and gevent's patches belong to the workers
if os.access("/dev/shm", os.W_OK):  # noqa: S108  # a worker's sign of life must not wait for a disk
    worker_tmp_dir = str(Path("/dev/shm"))  # noqa: S108


# Set before anything imports Prometheus' client.
_counted = Path(os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", str(shared.folder(_settings.home, _settings.port))))


def on_starting(_server: Any) -> None:
    """What workers counted before the last start is history, and so is what killed ones were uploading."""
    images.sweep(_settings.images)
    shared.clear(_counted)


def on_exit(_server: Any) -> None:
    """Nothing is left in memory."""
    shutil.rmtree(_counted, ignore_errors=True)


def child_exit(_server: Any, worker: Any) -> None:
    """A worker that is gone holds nothing open any more."""
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def when_ready(_server: Any) -> None:
    """Every socket is a file: allow as many as the system does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 65536)), hard))


def post_fork(_server: Any, _worker: Any) -> None:
    """Before anything of the API is imported, and so before the first connection."""
    allocation.give_back()
    if not shared.take_room(_counted):
        del os.environ["PROMETHEUS_MULTIPROC_DIR"]
    waits.install()


def worker_int(worker: Any) -> None:
    """At SIGINT and SIGQUIT there is a tenth of a second left to say goodbye."""
    worker.wsgi.realtime.drain()
