"""Commands that run on by themselves, over HTTP and WebSocket, in both dialects, on real processes."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from cli.fleet.fleet import Fleet
from tests.realtime import clients
from tests.realtime.clients import Closed, Refused
from tests.support.clients import Client, new_user
from tests.support.waiting import until

EXECS = "/vms/apart/execs"


@pytest.fixture(scope="module")
def client(fleet: Fleet) -> Iterator[Client]:
    """With a running VM 'apart'."""
    made = new_user(fleet)
    assert made.call("POST", "/vms", made.bearer, {"name": "apart"}).status_code == 201
    assert made.call("POST", "/vms/apart/start", made.bearer).status_code == 200
    yield made
    assert made.call("DELETE", "/vms/apart", made.bearer).status_code == 204


class Speaker:
    """Speaks one dialect; the answers are without its envelope."""

    def __init__(self, client: Client, dialect: str) -> None:
        self.client, self.headers, self._is_bare = client, getattr(client, dialect), dialect == "bearer"

    def __call__(self, method: str, path: str, body: Any = None, status: int = 200, **headers: str) -> Any:
        answer = self.client.call(method, path, self.headers, body, **headers)
        assert answer.status_code == status, answer.text
        if not answer.content:
            return None
        if self._is_bare or status >= 400:
            return answer.json()
        assert answer.json()["status"] == "success"
        return answer.json()["data"]

    def begin(self, command: str, **body: Any) -> str:
        return str(self("POST", EXECS, {"command": command, **body}, 201)["id"])


@pytest.fixture(params=["bearer", "key"])
def caller(client: Client, request: pytest.FixtureRequest) -> Speaker:
    return Speaker(client, request.param)


@pytest.fixture
def bare(client: Client) -> Speaker:
    return Speaker(client, "bearer")


def test_the_life_of_an_execution(caller: Speaker) -> None:
    body = {"command": "echo $A; cat; sleep 0.5; nonsense; exit 3", "name": "job", "environment": {"A": "1"}}
    made = caller("POST", EXECS, {**body, "stdin": "päper", "timeout_seconds": 60, "working_directory": "/srv"}, 201)
    assert set(made) == {
        *("id", "name", "command", "working_directory", "timeout_seconds", "state", "exit_code", "signal"),
        *("started_at", "ended_at", "execution_time_seconds"),
    }
    assert (made["state"], made["exit_code"], made["ended_at"], made["timeout_seconds"]) == ("running", None, None, 60)
    one = f"{EXECS}/{made['id']}"
    assert caller("GET", one)["name"] == "job"
    done = caller("GET", f"{one}/wait?timeout=10")
    assert (done["state"], done["exit_code"], done["command"]) == ("exited", 3, body["command"])
    assert done["execution_time_seconds"] >= 0.5
    shown = caller("GET", f"{one}/output?offset=4")
    assert shown == {
        "stream": "stdout",
        "encoding": "utf-8",
        "data": "\ufffdper",
        "offset": 4,
        "next_offset": 8,
        "ended": True,
    }
    assert "nonsense" in caller("GET", f"{one}/output?stream=stderr")["data"]
    assert caller("POST", f"{one}/kill") == done
    caller("DELETE", one, status=204)
    caller("GET", one, status=404)


def test_a_list_has_pages_newest_first(bare: Speaker) -> None:
    for old in bare("GET", f"{EXECS}?limit=100")["execs"]:
        bare("DELETE", f"{EXECS}/{old['id']}", status=204)
    ids = [bare.begin(f"sleep {600 * (number % 2)}") for number in range(4)]
    page = bare("GET", f"{EXECS}?limit=2&offset=1")
    assert [each["id"] for each in page["execs"]] == [ids[2], ids[1]]
    assert (page["total"], page["limit"], page["offset"]) == (4, 2, 1)
    assert [each["id"] for each in bare("GET", f"{EXECS}?state=running")["execs"]] == [ids[3], ids[1]]
    answer = bare.client.call("GET", f"{EXECS}?limit=1", bare.client.key).json()
    assert (answer["status"], len(answer["data"]), answer["total"]) == ("success", 1, 4)
    for each in ids:
        bare("DELETE", f"{EXECS}/{each}", status=204)


def test_a_character_is_not_cut_in_two_and_bytes_are_had_in_base64(bare: Speaker) -> None:
    one = f"{EXECS}/{bare.begin('echo aaaé; printf ' + chr(39) + chr(92) + '377' + chr(39))}"
    bare("GET", f"{one}/wait")
    first = bare("GET", f"{one}/output?limit=4")
    assert (first["data"], first["next_offset"], first["ended"]) == ("aaa", 3, False)
    assert bare("GET", f"{one}/output?offset=3")["data"] == "é\n\ufffd"
    raw = bare("GET", f"{one}/output?offset=3&encoding=base64")
    assert (base64.b64decode(raw["data"]), raw["encoding"]) == ("é\n".encode() + b"\xff", "base64")
    bare("DELETE", one, status=204)


def questions(fleet: Fleet) -> float:
    """How often hosts were asked about such a command by the API, which does so again and again for who waits."""
    shown = {"Authorization": f"Bearer {fleet.credentials.metrics_token}"}
    text = requests.get(f"{fleet.url}/metrics", headers=shown, timeout=20).text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return sum(each.value for each in samples if each.labels.get("verb") == "exec_get" and each.name.endswith("_count"))


def test_kill_is_told_to_whoever_waits_and_waiting_is_free(fleet: Fleet, caller: Speaker) -> None:
    one = f"{EXECS}/{caller.begin('sleep 600')}"
    assert caller("GET", f"{one}/wait?timeout=0", status=202)["state"] == "running"
    with ThreadPoolExecutor(1) as other:
        before = questions(fleet)
        waited = other.submit(caller, "GET", f"{one}/wait?timeout=20")
        until(lambda: questions(fleet) > before + 1)
        assert caller("POST", f"{one}/kill", {"signal": "TERM"})["signal"] == "TERM"
        assert waited.result()["state"] == "killed"
    assert caller("GET", one)["exit_code"] == 143
    headers = caller.client.call("GET", f"{one}/wait", caller.headers).headers
    assert "X-RateLimit-Remaining" not in headers
    caller("DELETE", one, status=204)


def test_its_timeout_ends_it(bare: Speaker) -> None:
    one = f"{EXECS}/{bare.begin('sleep 600', timeout_seconds=1)}"
    assert bare("GET", f"{one}/wait?timeout=10")["state"] == "timed_out"


def test_the_same_key_begins_it_once(caller: Speaker) -> None:
    key = {"Idempotency-Key": f"begin-{time.time_ns()}"}
    first, second = (caller("POST", EXECS, {"command": "true"}, 201, **key) for _ in range(2))
    assert first == second


def test_too_many_at_once_is_told(bare: Speaker) -> None:
    for each in bare("GET", f"{EXECS}?state=running&limit=100")["execs"]:
        bare("DELETE", f"{EXECS}/{each['id']}", status=204)
    ids = [bare.begin("sleep 600") for _ in range(32)]
    refused = bare("POST", EXECS, {"command": "true"}, 409)
    assert refused["error"] == "conflict"
    assert "32" in refused["message"]
    for each in ids:
        bare("DELETE", f"{EXECS}/{each}", status=204)


def test_it_goes_on_without_its_agent_and_is_found_again(fleet: Fleet, bare: Speaker) -> None:
    one = f"{EXECS}/{bare.begin('echo before; sleep 4; echo after')}"
    fleet.kill("host-a")
    assert bare("GET", f"{one}/wait?timeout=20")["exit_code"] == 0
    assert bare("GET", f"{one}/output")["data"] == "before\nafter\n"


def test_others_do_not_see_it(fleet: Fleet, bare: Speaker) -> None:
    one = f"{EXECS}/{bare.begin('true')}"
    stranger = new_user(fleet)
    for method, path in (("GET", EXECS), ("POST", EXECS), ("GET", one), ("DELETE", one), ("GET", f"{one}/output"),
                         ("POST", f"{one}/kill"), ("GET", f"{one}/wait")):  # fmt: skip
        body = {"command": "true"} if path == EXECS and method == "POST" else None
        assert stranger.call(method, path, stranger.bearer, body).status_code == 404, (method, path)
    reader = bare("POST", "/keys", {"name": "r", "access": "read"}, 201)["key"]
    assert bare.client.call("GET", one, {"X-API-Key": reader}).status_code == 200
    for method, path in (("POST", f"{one}/kill"), ("DELETE", one)):
        assert bare.client.call(method, path, {"X-API-Key": reader}).status_code == 403


@pytest.mark.parametrize("path", ["/nothing", "/..%2f..%2fx", "/" + "0" * 32, "/" + "g" * 32, "/%00", "/é"])
def test_what_is_not_there_is_404(caller: Speaker, path: str) -> None:
    for method, end in (("GET", ""), ("DELETE", ""), ("GET", "/output"), ("POST", "/kill"), ("GET", "/wait")):
        caller(method, f"{EXECS}{path}{end}", status=404)


def test_wrong_queries_are_named(bare: Speaker) -> None:
    one = f"{EXECS}/{'0' * 32}"
    for query in (
        *(
            "output?offset=-1",
            "output?offset=x",
            "output?offset=9" + "9" * 30,
            "output?limit=0",
            "output?limit=1048577",
        ),
        *("output?stream=both", "output?encoding=latin-1", "wait?timeout=-1", "wait?timeout=x"),
    ):
        answer = bare("GET", f"{one}/{query}", status=422)
        assert answer["details"][0]["field"] == query.split("?")[1].split("=")[0]
    for query in ("limit=0", "limit=101", "offset=-1", "state=x"):
        bare("GET", f"{EXECS}?{query}", status=422)


def socket_of(fleet: Fleet, path: str, headers: dict[str, str] | None = None, **options: Any) -> clients.SocketClient:
    return clients.SocketClient(int(fleet.url.rsplit(":", 1)[1]), f"/api/v1{path}", headers or {}, **options)


def frames(socket: clients.SocketClient) -> tuple[list[dict[str, Any]], Closed]:
    """All until the end."""
    found = list[dict[str, Any]]()
    while True:
        try:
            found.append(socket.receive(20))
        except Closed as end:
            socket.close()
            return found, end


def test_output_is_streamed_as_it_appears(fleet: Fleet, caller: Speaker) -> None:
    one = f"{EXECS}/{caller.begin('echo one; sleep 3; echo two; nonsense; exit 5')}"
    socket = socket_of(fleet, f"{one}/stream", caller.headers)
    first = socket.receive()
    assert caller("GET", one)["state"] == "running"
    assert first == {
        "type": "output",
        "stream": "stdout",
        "offset": 0,
        "next_offset": 4,
        "encoding": "utf-8",
        "data": "one\n",
    }
    rest, end = frames(socket)
    assert [(each["stream"], each["data"]) for each in rest[:-1]] == [
        ("stdout", "two\n"),
        ("stderr", "sh: nonsense: not found\n"),
    ]
    assert rest[-1] == {"type": "exit", "state": "exited", "exit_code": 5}
    assert end.code == 1000
    resumed, _ = frames(socket_of(fleet, f"{one}/stream?stdout=5&stderr=1000&encoding=base64", caller.headers))
    assert [base64.b64decode(each["data"]) for each in resumed[:-1]] == [b"wo\n"]


def test_a_stream_tells_what_is_not_kept_any_more(fleet: Fleet, bare: Speaker) -> None:
    mib = 1024 * 1024
    one = f"{EXECS}/{bare.begin(f'head -c {20 * mib} /dev/zero')}"
    bare("GET", f"{one}/wait")
    found, end = frames(socket_of(fleet, f"{one}/stream?encoding=base64", bare.headers))
    assert end.code == 1000
    assert found[0] == {"type": "gap", "stream": "stdout", "from": 0, "to": 12 * mib}
    assert sum(len(base64.b64decode(each["data"])) for each in found[1:-1]) == 8 * mib


def test_a_slow_reader_is_cut(fleet: Fleet, bare: Speaker) -> None:
    one = f"{EXECS}/{bare.begin(f'head -c {8 * 1024 * 1024} /dev/zero')}/stream?encoding=base64"
    socket = socket_of(fleet, one, bare.headers, buffer=4096)
    own = socket.socket.getsockname()[1]
    until(
        lambda: (
            not any(
                each.status == psutil.CONN_ESTABLISHED and each.raddr and each.raddr.port == own
                for each in psutil.net_connections("tcp4")
            )
        )
    )
    found, end = frames(socket)
    assert end.code == 4008, "and not as if the command had ended"
    assert 0 < len(found) < 20


def test_a_stream_ends_with_its_vm_and_with_its_client(fleet: Fleet, client: Client, bare: Speaker) -> None:
    one = f"{EXECS}/{bare.begin('echo up; sleep 600')}/stream"
    left = socket_of(fleet, one, bare.headers)
    left.receive()
    left.close()
    socket = socket_of(fleet, one, bare.headers)
    socket.receive()
    assert client.call("POST", "/vms/apart/stop", client.bearer, {"force": True}).status_code == 200
    try:
        found, end = frames(socket)
        assert found == [{"type": "exit", "state": "lost", "exit_code": None}]
        assert end.code == 1000
        bare("POST", EXECS, {"command": "true"}, 409)
        bare("GET", one.replace("/stream", "/output"), status=409)
        assert bare("GET", one.replace("/stream", "/wait"))["state"] == "lost"
    finally:
        assert client.call("POST", "/vms/apart/start", client.bearer).status_code == 200
    log = (fleet.plan.home / "logs").glob("api*.log")
    until(lambda: all("Traceback" not in each.read_text() for each in log))


def test_who_may_not_is_refused_before_the_handshake(fleet: Fleet, bare: Speaker) -> None:
    exec_id = bare.begin("echo up; sleep 600")
    path = f"{EXECS}/{exec_id}/stream"
    stranger = new_user(fleet)
    for wrong, headers, status in (
        (path, stranger.bearer, 404),
        (path, {"Authorization": "Bearer wrong"}, 401),
        (path.replace(exec_id, "0" * 32), bare.headers, 404),
        (path.replace(exec_id, "nothing"), bare.headers, 404),
        (f"{path}?stdout=-1", bare.headers, 400),
        (f"{path}?stderr=x", bare.headers, 400),
        (f"{path}?encoding=x", bare.headers, 400),
    ):
        with pytest.raises(Refused) as refused:
            socket_of(fleet, wrong, headers)
        assert refused.value.status == status, wrong
    browser = socket_of(fleet, path)
    browser.send({"type": "auth", "token": bare.headers["Authorization"].removeprefix("Bearer ")})
    assert browser.receive() == {"type": "authenticated"}
    assert browser.receive()["data"] == "up\n"
    browser.close()
    browser = socket_of(fleet, path)
    browser.send({"type": "auth", "token": stranger.bearer["Authorization"].removeprefix("Bearer ")})
    assert browser.closed().code == 4404
    bare("DELETE", f"{EXECS}/{exec_id}", status=204)
