"""The raw thing: a Celery app with a task that does nothing, on the same Redis and with the agent's settings."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import redis
from celery import Celery

URL = os.environ.get("REDIS_URL", "")

app = Celery("bench", broker=URL, backend=URL)
app.conf.update(
    task_default_queue="bench",
    broker_transport_options={"priority_steps": [0]},
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
    result_expires=60,
)


@app.task(name="bench.noop")  # type: ignore[untyped-decorator]
def noop() -> None:
    """Nothing at all."""


@app.task(name="bench.count", ignore_result=True)  # type: ignore[untyped-decorator]
def count() -> None:
    """Nothing but being counted."""
    client().incr("bench:count")


@cache
def client() -> redis.Redis:
    """A plain client of the same Redis; one a process, or the tasks would do little but connect."""
    return redis.Redis.from_url(URL)


@contextmanager
def worker(redis_url: str) -> Iterator[None]:
    """A worker of this app: threads, as the agent's."""
    command = [sys.executable, "-m", "celery", "--app=bench.noop", "worker", "--pool=threads", "--concurrency=8"]
    options = ["--without-mingle", "--without-gossip", "--loglevel=ERROR"]
    process = subprocess.Popen(
        [*command, *options],
        env={**os.environ, "REDIS_URL": redis_url},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)


def round_trip() -> None:
    """One task sent, run, and its result received."""
    noop.delay().get(timeout=10)


def rate(tasks: int) -> float:
    """Tasks a second, from the first sent to the last one run."""
    counter = client()
    counter.delete("bench:count")
    began = time.perf_counter()
    for _ in range(tasks):
        count.delay()
    deadline = time.monotonic() + 120
    while int(counter.get("bench:count") or 0) < tasks:  # type: ignore[arg-type]
        if time.monotonic() > deadline:
            raise TimeoutError("the no-op tasks did not all run")
        time.sleep(0.005)
    return tasks / (time.perf_counter() - began)
