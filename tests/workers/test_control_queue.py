"""The real worker process: whatever anyone pushes into the control plane's queue, it goes on."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.contract import channels
from tests.support.waiting import until
from tests.workers.conftest import Workers
from workers.transport import SWEEP_TASK


def message(**changes: Any) -> dict[str, Any]:
    """The wakeup for a sweep, as kombu puts it into Redis."""
    body = changes.pop("arguments", [[], {}, {"callbacks": None, "chain": None}])
    whole = {
        "body": base64.b64encode(json.dumps(body).encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"task": SWEEP_TASK, "id": uuid.uuid4().hex, "lang": "py"},
        "properties": {
            "delivery_tag": uuid.uuid4().hex,
            "delivery_info": {"exchange": "", "routing_key": channels.CONTROL_QUEUE},
            "body_encoding": "base64",
        },
    }
    return {**whole, **changes}


POISON = [
    b"garbage",
    b"\xff\xfe\x00",
    b"[1,2]",
    b"null",
    b"{}",
    b"[" * 100_000,
    json.dumps(message(headers=None)).encode(),
    json.dumps(message(headers={"task": SWEEP_TASK})).encode(),
    json.dumps(message(headers={"task": [], "id": "x"})).encode(),
    json.dumps(message(headers={"task": "celery.backend_cleanup", "id": "x"})).encode(),
    json.dumps(message(headers={"task": SWEEP_TASK, "id": []})).encode(),
    json.dumps(message(body=None)).encode(),
    json.dumps(message(body="%%%")).encode(),
    json.dumps(message(arguments=[])).encode(),
    json.dumps(message(arguments=[[1], {}, {}])).encode(),
    json.dumps(message(arguments=[[], {"a": 1}, {}])).encode(),
    json.dumps(message(arguments=[[], {}, {"callbacks": [{"task": "x"}]}])).encode(),
    json.dumps(message(properties={"delivery_info": {}})).encode(),
    json.dumps(message(properties={"delivery_tag": [], "delivery_info": {}})).encode(),
]


@pytest.fixture
def worker(workers: Workers, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    own = {
        "DATABASE_URL": workers.settings.database_url,
        "REDIS_URL": workers.settings.redis_url,
        "CORRAL_SWEEP_SECONDS": "1",
    }
    command = [sys.executable, "-m", "celery", "--app=workers.app", "worker", "--pool=threads", "--concurrency=2"]
    quiet = ["--without-mingle", "--without-gossip", f"--queues={channels.CONTROL_QUEUE}"]
    with (tmp_path / "worker.log").open("wb") as log:
        process = subprocess.Popen([*command, *quiet], env={**os.environ, **own}, stdout=log, stderr=log)
        yield process
        process.terminate()
        process.wait(20)


def test_a_malformed_task_ends_no_worker(workers: Workers, worker: subprocess.Popen[bytes]) -> None:
    until(lambda: workers.redis.get(channels.SWEPT))
    workers.redis.lpush(channels.CONTROL_QUEUE, *POISON)
    until(lambda: workers.redis.llen(channels.CONTROL_QUEUE) == 0)
    workers.redis.delete(channels.SWEPT)
    until(lambda: workers.redis.get(channels.SWEPT))
    assert worker.poll() is None
    assert not workers.redis.exists("unacked")
