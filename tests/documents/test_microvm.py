"""Every example of the microvm document, against what a real fleet with a real guest answers."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
from simple_websocket import Client as Socket

from tests.documents.conftest import Reader
from tests.documents.fitting import differences, filled
from tests.documents.parsing import Example, examples
from tests.support.waiting import until

_DOCUMENT = examples((Path(__file__).parents[2] / "docs/documents/microvm.md").read_text())
_REQUESTS = {each.of: each.body for each in _DOCUMENT if each.part == "request"}
_ANSWERS = [each for each in _DOCUMENT if each.part == "response" and each.of != "error"]

Call = Callable[[Reader, str], requests.Response]


def _unique(prefix: str) -> str:
    return f"{prefix}-{secrets.token_hex(3)}"


def _as_shown(of: str, **own: Any) -> Any:
    """The document's own request, with what must be one's own."""
    return filled(_REQUESTS[of]) | own


def _register(client: Reader, guest: str) -> requests.Response:
    of = "POST /auth/register"
    return client(of, _as_shown(of, username=_unique("user"), password="correct horse"))


def _log_in(client: Reader, guest: str) -> requests.Response:
    mine = {"username": _unique("user"), "password": "correct horse"}
    client("POST /auth/register", mine | {"role": "user"})
    return client("POST /auth/login", mine)


def _create(client: Reader, guest: str) -> requests.Response:
    of, name = "POST /vms", _unique("shown")
    answer = client(of, _as_shown(of, name=name))
    assert client("DELETE /vms/{name}", name=name).status_code == 204
    return answer


def _start(client: Reader, guest: str) -> requests.Response:
    client("POST /vms/{name}/stop", {"force": True}, name=guest)
    return client("POST /vms/{name}/start", name=guest)


def _stop(client: Reader, guest: str) -> requests.Response:
    of = "POST /vms/{vm_name}/stop"
    answer = client(of, _as_shown(of), vm_name=guest)
    assert client("POST /vms/{name}/start", name=guest).status_code == 200
    return answer


def _execute(client: Reader, guest: str) -> requests.Response:
    of = "POST /vms/{vm_name}/execute"
    command = 'echo "$VAR1 in $PWD"; echo error output >&2'
    answer = client(of, _as_shown(of, command=command, working_directory="/root"), vm_name=guest)
    assert answer.json()["stdout"] == "value1 in /root\n"
    return answer


def _upload(client: Reader, guest: str) -> requests.Response:
    return client(
        "POST /vms/{name}/files/upload",
        name=guest,
        files={"file": ("notes.txt", b"some notes")},
        data={"path": "/root/notes.txt", "permissions": "600"},
    )


def _files(client: Reader, guest: str) -> requests.Response:
    assert _upload(client, guest).status_code == 200
    return client("GET /vms/{name}/files", name=guest, query={"path": "/root", "recursive": "true"})


def _snapshot(client: Reader, guest: str) -> requests.Response:
    of = "POST /vms/{vm_name}/snapshots"
    return client(of, _as_shown(of, name=_unique("snap")), vm_name=guest)


def _snapshots(client: Reader, guest: str) -> requests.Response:
    assert _snapshot(client, guest).status_code == 201
    return client("GET /vms/{name}/snapshots", name=guest)


def _restore(client: Reader, guest: str) -> requests.Response:
    snapshot = _snapshot(client, guest).json()["name"]
    answer = client("POST /vms/{name}/snapshots/{snapshot}/restore", name=guest, snapshot=snapshot)
    assert client("DELETE /vms/{name}/snapshots/{snapshot}", name=guest, snapshot=snapshot).status_code == 204
    return answer


def _resize(client: Reader, guest: str) -> requests.Response:
    of = "PUT /vms/{vm_name}/resources"
    wanted = {name: value for name, value in _as_shown(of).items() if not name.endswith("_limit_percent")}
    return client(of, wanted, vm_name=guest)


def _forward(client: Reader, guest: str) -> requests.Response:
    of = "POST /vms/{vm_name}/network/port-forward"
    return client(of, _as_shown(of, host_port=0), vm_name=guest)


def _network(client: Reader, guest: str) -> requests.Response:
    assert _forward(client, guest).status_code == 201
    return client("GET /vms/{name}/network", name=guest)


def _scan(client: Reader, guest: str) -> requests.Response:
    of = "POST /security/scan"
    client("POST /vms/{name}/execute", {"command": "chmod 666 /etc/shadow"}, name=guest)  # so that something is found
    return client(of, _as_shown(of, scan_type="configuration", target=guest))


def _scanned(client: Reader, guest: str) -> requests.Response:
    scan = _scan(client, guest).json()["scan_id"]

    def completed() -> requests.Response | None:
        answer = client("GET /security/scans/{id}", id=scan)
        return answer if answer.json()["status"] == "completed" else None

    answer: requests.Response = until(completed)
    return answer


def _get(of: str) -> Call:
    return lambda client, guest: client(of, vm_name=guest)


def _once_known(of: str, *path: str) -> Call:
    """As `_get`, once what is at that path of the answer is known: a guest that has just booted has no network yet."""

    def call(client: Reader, guest: str) -> requests.Response:
        def known() -> requests.Response | None:
            answer = client(of, vm_name=guest)
            found = answer.json()
            for name in path:
                found = found.get(name) or {}
            return answer if found != {} else None

        answer: requests.Response = until(known)
        return answer

    return call


_CALLS: dict[str, Call] = {
    "POST /auth/register": _register,
    "POST /auth/login": _log_in,
    "GET /vms": _get("GET /vms"),
    "POST /vms": _create,
    "GET /vms/{vm_name}": _once_known("GET /vms/{vm_name}", "resource_usage", "memory_used_mb"),
    "POST /vms/{vm_name}/start": _start,
    "POST /vms/{vm_name}/stop": _stop,
    "POST /vms/{vm_name}/restart": _get("POST /vms/{vm_name}/restart"),
    "POST /vms/{vm_name}/execute": _execute,
    "POST /vms/{vm_name}/files/upload": _upload,
    "GET /vms/{vm_name}/files": _files,
    "GET /vms/{vm_name}/snapshots": _snapshots,
    "POST /vms/{vm_name}/snapshots": _snapshot,
    "POST /vms/{vm_name}/snapshots/{snapshot_name}/restore": _restore,
    "GET /vms/{vm_name}/metrics": _once_known("GET /vms/{vm_name}/metrics", "network", "bytes_in"),
    "PUT /vms/{vm_name}/resources": _resize,
    "GET /system/metrics": _get("GET /system/metrics"),
    "GET /networks": _get("GET /networks"),
    "GET /vms/{vm_name}/network": _network,
    "POST /vms/{vm_name}/network/port-forward": _forward,
    "GET /security/audit-logs": _get("GET /security/audit-logs"),
    "POST /security/scan": _scan,
    "GET /security/scans/{scan_id}": _scanned,
    "GET /health": _get("GET /health"),
    "GET /status": _get("GET /status"),
}


@pytest.mark.timeout(240)
@pytest.mark.parametrize("example", _ANSWERS, ids=lambda example: example.of)
def test_what_the_document_shows_is_answered(bearer: Reader, guest: str, example: Example) -> None:
    answer = _CALLS[example.of](bearer, guest)
    assert answer.status_code == example.status, answer.text
    assert differences(example.body, answer.json()) == []


@pytest.mark.parametrize(
    "example", [each for each in _DOCUMENT if each.part == "message"], ids=lambda example: example.of
)
def test_what_the_document_shows_is_told_on_sockets(bearer: Reader, example: Example) -> None:
    name = _unique("heard")
    path = example.of.removeprefix("WS ").format(vm_name=name)
    if path != "/system/events":
        assert bearer("POST /vms", {"name": name}).status_code == 201
    socket = Socket(f"{bearer.client.url.replace('http', 'ws')}{path}", headers=bearer.who)
    if path == "/system/events":
        assert bearer("POST /vms", {"name": name}).status_code == 201
    assert bearer("DELETE /vms/{name}", name=name).status_code == 204
    told: Any = {}
    while told.get("event_type") != example.body["event_type"]:
        told = json.loads(socket.receive(timeout=20) or "null")
    assert differences(example.body, told) == []
    if socket.connected:
        socket.close()


def test_a_file_is_downloaded_as_it_was_uploaded(bearer: Reader, guest: str) -> None:
    _upload(bearer, guest)
    answer = bearer("GET /vms/{name}/files/download", name=guest, query={"path": "/root/notes.txt"})
    assert (answer.status_code, answer.content) == (200, b"some notes")
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert answer.headers["Content-Length"] == "10"
    assert "notes.txt" in answer.headers["Content-Disposition"]


_ERRORS: dict[int, Callable[[Reader, str], requests.Response]] = {
    400: lambda client, guest: client("POST /vms", {"name": _unique("bad"), "template": "no-such-template"}),
    401: lambda client, guest: replace(client, who={})("GET /vms"),
    403: lambda client, guest: _as_a_user(client)("GET /security/audit-logs"),
    404: lambda client, guest: client("GET /vms/test-vm"),
    409: lambda client, guest: client("POST /vms", {"name": guest}),
    422: lambda client, guest: client("POST /vms", {"name": _unique("small"), "memory_mb": 1}),
}
_ELSEWHERE = {429, 500, 503}  # tests/api provokes these: they take a limit, a fault and an outage


def _as_a_user(client: Reader) -> Reader:
    token = _log_in(client, "").json()["access_token"]
    return replace(client, who={"Authorization": f"Bearer {token}"})


@pytest.mark.parametrize(
    "example",
    [each for each in _DOCUMENT if each.of == "error" and each.status not in _ELSEWHERE],
    ids=lambda example: str(example.status),
)
def test_errors_are_told_as_the_document_shows(bearer: Reader, guest: str, example: Example) -> None:
    answer = _ERRORS[example.status or 0](bearer, guest)
    assert answer.status_code == example.status, answer.text
    assert answer.json()["error"] == example.body["error"]
    assert differences(example.body, answer.json()) == []
    assert {"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"} <= set(answer.headers)
