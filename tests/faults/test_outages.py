"""PostgreSQL, Redis or both are killed, frozen, paused, full or only to be read: what each kind of endpoint answers.

Every answer is one of those in the table, in its dialect's shape and in time; a 503 says when to try again. Nothing
ends for good: the same processes serve afterwards.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import psutil
import pytest
import redis
import requests

from tests.support.waiting import until

HYPERVISOR = "fake"
IN_TIME_SECONDS = 45
OK, ACCEPTED, AWAY = 200, 202, 503
UPGRADED = 101


@dataclass(frozen=True)
class Asked:
    """One kind of endpoint, as one of its kind."""

    method: str
    path: str
    body: Any = None
    headers: tuple[tuple[str, str], ...] = ()
    files: bool = False


ENDPOINTS = {
    "read": Asked("GET", "/vms/outage"),
    "list": Asked("GET", "/vms"),
    "mutation": Asked("POST", "/keys", {"name": "k"}),
    "operation": Asked("POST", "/vms/outage/start", headers=(("Prefer", "respond-async"),)),
    "held operation": Asked("POST", "/vms/outage-held/start", headers=(("Prefer", "wait=3"),)),
    "wait": Asked("GET", "/operations/{operation}/wait?timeout=2"),
    "call": Asked("POST", "/vms/outage-run/execute", {"command": "true", "timeout_seconds": 2}),
    "upload": Asked("POST", "/vms/outage-run/files/upload", {"path": "/root/x"}, files=True),
    "download": Asked("GET", "/vms/outage-run/files/download?path=/etc/hostname"),
    "login": Asked("POST", "/auth/login", {"username": "nobody", "password": "wrong horse"}),
    "status": Asked("GET", "/status"),
    "health": Asked("GET", "/health"),
    "socket": Asked("SOCKET", "/system/events"),
}
Foreseen = dict[str, set[int]]
DATABASE_AWAY: Foreseen = {kind: {AWAY} for kind in ENDPOINTS} | {"health": {OK}}
# What is asked of a host goes over Redis; all else is in the record. 409: an earlier start is under way still.
REDIS_AWAY: Foreseen = {kind: {OK} for kind in ENDPOINTS} | {
    "mutation": {201},
    "operation": {ACCEPTED, 409},
    "held operation": {OK, ACCEPTED, 409},
    "call": {AWAY},
    "upload": {AWAY},
    "download": {AWAY},
    "login": {401},
    "status": {OK, AWAY},  # of itself it says within a second what it knows, or that it does not
    "socket": {UPGRADED},
}
DATABASE_READ_ONLY: Foreseen = {kind: {OK} for kind in ENDPOINTS} | {
    "mutation": {AWAY},
    "operation": {AWAY},
    "held operation": {AWAY},
    "login": {AWAY},  # a try is counted before it is looked at
    # What can't be written down is not asked.
    "call": {AWAY},
    "upload": {AWAY},
    "download": {AWAY},
    "status": {OK, AWAY},
    "socket": {UPGRADED},
}
REDIS_SLOW = REDIS_AWAY | {"call": {OK, AWAY}, "upload": {OK, AWAY}, "download": {OK, 404, AWAY}}


_UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}


@contextmanager
def _killed(rig: Any, *names: str) -> Iterator[None]:
    for name in names:
        rig.fleet.kill(name, hold=True)
    try:
        yield
    finally:
        for name in names:
            rig.fleet.restart(name)


@contextmanager
def _frozen(rig: Any, *names: str) -> Iterator[None]:
    processes = []
    for name in names:
        server = psutil.Process(rig.fleet.process(name).pid)
        server.suspend()  # first: what stands still starts no process beside those that are listed
        children = server.children(recursive=True)
        for child in children:
            child.suspend()
        processes += [server, *children]
    try:
        yield
    finally:
        for process in reversed(processes):
            process.resume()


@contextmanager
def _redis(rig: Any, begin: Callable[[redis.Redis], object], end: Callable[[redis.Redis], object]) -> Iterator[None]:
    client = redis.Redis.from_url(rig.fleet.redis_url)
    begin(client)
    try:
        yield
    finally:
        end(client)
        client.close()


def _full(rig: Any) -> Any:
    return _redis(rig, lambda r: r.config_set("maxmemory", "1"), lambda r: r.config_set("maxmemory", "0"))


def _replica(rig: Any) -> Any:
    return _redis(rig, lambda r: r.replicaof("127.0.0.1", "1"), lambda r: r.replicaof("NO", "ONE"))


def _paused(rig: Any) -> Any:
    return _redis(rig, lambda r: r.client_pause(60_000), lambda r: r.client_unpause())


def _read_only(rig: Any) -> Any:
    return _setting(rig, "default_transaction_read_only", "on")


@contextmanager
def _setting(rig: Any, name: str, value: str) -> Iterator[None]:
    with rig.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(f"ALTER SYSTEM SET {name} = {value}")
        connection.exec_driver_sql("SELECT pg_reload_conf()")
        try:
            yield
        finally:
            connection.exec_driver_sql(f"ALTER SYSTEM RESET {name}")
            connection.exec_driver_sql("SELECT pg_reload_conf()")


WAYS: dict[str, tuple[Callable[[Any], Any], Foreseen, dict[str, str]]] = {
    "Redis killed": (lambda rig: _killed(rig, "redis"), REDIS_AWAY, {"redis": "can't be reached"}),
    "Redis frozen": (lambda rig: _frozen(rig, "redis"), REDIS_AWAY, {"redis": "does not answer"}),
    "Redis full": (_full, REDIS_AWAY, {"redis": "out of memory (maxmemory)"}),
    "Redis a replica": (_replica, REDIS_AWAY, {"redis": "read-only replica"}),
    "Redis paused": (_paused, REDIS_SLOW, {"redis": "does not answer"}),
    "PostgreSQL killed": (lambda rig: _killed(rig, "postgres"), DATABASE_AWAY, {"database": "can't be reached"}),
    "PostgreSQL frozen": (lambda rig: _frozen(rig, "postgres"), DATABASE_AWAY, {"database": "does not answer"}),
    "PostgreSQL a replica": (_read_only, DATABASE_READ_ONLY, {}),
    "both killed": (lambda rig: _killed(rig, "redis", "postgres"), DATABASE_AWAY, {"redis": "can't be reached"}),
    "both frozen": (lambda rig: _frozen(rig, "redis", "postgres"), DATABASE_AWAY, {"database": "does not answer"}),
}


@pytest.fixture(scope="module")
def prepared(fleet: Any) -> dict[str, str]:
    """VMs, an operation that has ended, and the administrator's token."""
    url, key = f"{fleet.url}/api/v1", {"X-API-Key": fleet.credentials.api_key}
    for name in ("outage", "outage-held", "outage-run"):
        body = {"name": name, "memory_mb": 512, "cpus": 1, "storage_gb": 10}
        made = requests.post(f"{url}/vms", json=body, headers=key | {"Prefer": "wait=30"}, timeout=40)
        assert made.status_code == 200, made.text
    run = requests.post(f"{url}/vms/outage-run/start", headers=key | {"Prefer": "wait=30"}, timeout=40)
    who = {"username": fleet.credentials.username, "password": fleet.credentials.password}
    token = requests.post(f"{url}/auth/login", json=who, timeout=20).json()["access_token"]
    return {"operation": run.headers["X-Operation-Id"], "token": token}


@pytest.mark.timeout(400)
@pytest.mark.parametrize("way", WAYS)
def test_every_answer_is_one_of_those_foreseen(rig: Any, prepared: dict[str, str], way: str) -> None:
    fail, allowed, said = WAYS[way]
    before = _processes(rig)
    with ExitStack() as failing:
        failing.enter_context(fail(rig))
        with ThreadPoolExecutor(2 * len(ENDPOINTS)) as pool:
            asked = {
                (kind, dialect): pool.submit(_ask, rig, prepared, kind, dialect)
                for kind in ENDPOINTS
                for dialect in ("vboxmcp", "microvm")
                if not (kind in ("login", "socket") and dialect == "vboxmcp")
            }
            answers = {key: future.result() for key, future in asked.items()}
        until(lambda: _says(rig, prepared, said), why=f"/health says {said}")
    wrong = {key: answer for key, answer in answers.items() if answer[0] not in allowed[key[0]]}
    assert not wrong, {key: (status, body) for key, (status, _, body, _) in wrong.items()}
    for (kind, dialect), (status, headers, body, seconds) in answers.items():
        assert seconds < IN_TIME_SECONDS, (kind, dialect, seconds)
        if status == AWAY:
            assert int(headers["Retry-After"]) > 0, (kind, dialect)
            assert _code(body, dialect) == "service_unavailable", (kind, dialect, body)
    _recover(rig)
    names = way.lower()
    gone = {name for name in before if before[name] != _processes(rig).get(name)}
    assert not gone - {name for name in ("redis", "postgres") if name[:5] in names or "both" in names}, gone


def _ask(rig: Any, prepared: dict[str, str], kind: str, dialect: str) -> tuple[int, Any, Any, float]:
    """The status, headers and body of an answer, and how long it took."""
    asked = ENDPOINTS[kind]
    path = f"/api/v1{asked.path.format(**prepared)}"
    began = time.monotonic()
    if dialect == "microvm":
        headers = {"Authorization": f"Bearer {prepared['token']}"}
    else:
        headers = {"X-API-Key": rig.fleet.credentials.api_key}
    if asked.method == "SOCKET":
        headers |= _UPGRADE
    content: dict[str, Any] = {"json": asked.body}
    if asked.files:
        content = {"data": asked.body, "files": {"file": ("x", b"content")}}
    method = "GET" if asked.method == "SOCKET" else asked.method
    url, headers = rig.fleet.url + path, headers | dict(asked.headers)
    answer = requests.request(method, url, headers=headers, timeout=90, stream=True, **content)
    if answer.status_code == UPGRADED:
        answer.close()
    body = answer.json() if answer.headers.get("Content-Type") == "application/json" else None
    return answer.status_code, answer.headers, body, time.monotonic() - began


def _says(rig: Any, prepared: dict[str, str], said: dict[str, str]) -> bool:
    problems = _ask(rig, prepared, "health", "microvm")[2].get("problems", {})
    return all(text in problems.get(part, "") for part, text in said.items())


def _code(body: Any, dialect: str) -> str:
    return str(body["error"] if dialect == "microvm" else body["error"]["code"])


def _processes(rig: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        name: rig.fleet.process(name).pid for name in ("redis", "postgres", "api", "worker", *rig.fleet.plan.host_names)
    }
    found["api workers"] = sorted(child.pid for child in psutil.Process(found["api"]).children())
    return found


def _recover(rig: Any) -> None:
    def healthy() -> bool:
        body = rig.request("GET", "/health").json()
        return bool(body["data"]["status"] == "healthy")

    until(healthy, why="healthy again")
    for name in ("outage", "outage-held"):

        def stopped(name: str = name) -> bool:
            vm = rig.request("GET", f"/vms/{name}").json()["data"]
            if vm["state"] == "running":
                rig.request("POST", f"/vms/{name}/stop", {"force": True}, Prefer="wait=10")
            return bool(vm["state"] == "poweroff")

        until(stopped, why=f"{name} stopped")
