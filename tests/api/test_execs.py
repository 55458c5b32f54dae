"""Commands that run on by themselves, over HTTP and WebSocket, in both dialects, on real processes."""

from __future__ import annotations

import base64
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from cli.fleet.fleet import Fleet
from tests.api.speaking import EXECS, Speaker
from tests.support.clients import new_user
from tests.support.waiting import until


def test_the_life_of_an_execution(speaker: Speaker) -> None:
    body = {"command": "echo $A; cat; sleep 0.5; nonsense; exit 3", "name": "job", "environment": {"A": "1"}}
    made = speaker("POST", EXECS, {**body, "stdin": "päper", "timeout_seconds": 60, "working_directory": "/srv"}, 201)
    assert set(made) == {
        *("id", "name", "command", "working_directory", "timeout_seconds", "state", "exit_code", "signal"),
        *("started_at", "ended_at", "execution_time_seconds", "tty"),
    }
    assert (made["state"], made["exit_code"], made["ended_at"], made["timeout_seconds"]) == ("running", None, None, 60)
    one = f"{EXECS}/{made['id']}"
    assert speaker("GET", one)["name"] == "job"
    done = speaker("GET", f"{one}/wait?timeout=10")
    assert (done["state"], done["exit_code"], done["command"]) == ("exited", 3, body["command"])
    assert done["execution_time_seconds"] >= 0.5
    shown = speaker("GET", f"{one}/output?offset=4")
    assert shown == {
        "stream": "stdout",
        "encoding": "utf-8",
        "data": "\ufffdper",
        "offset": 4,
        "next_offset": 8,
        "ended": True,
    }
    assert "nonsense" in speaker("GET", f"{one}/output?stream=stderr")["data"]
    assert speaker("POST", f"{one}/kill") == done
    speaker("DELETE", one, status=204)
    speaker("GET", one, status=404)


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


def test_kill_is_told_to_whoever_waits_and_waiting_is_free(fleet: Fleet, speaker: Speaker) -> None:
    one = f"{EXECS}/{speaker.begin('sleep 600')}"
    assert speaker("GET", f"{one}/wait?timeout=0", status=202)["state"] == "running"
    with ThreadPoolExecutor(1) as other:
        before = questions(fleet)
        waited = other.submit(speaker, "GET", f"{one}/wait?timeout=20")
        until(lambda: questions(fleet) > before + 1)
        assert speaker("POST", f"{one}/kill", {"signal": "TERM"})["signal"] == "TERM"
        assert waited.result()["state"] == "killed"
    assert speaker("GET", one)["exit_code"] == 143
    headers = speaker.client.call("GET", f"{one}/wait", speaker.headers).headers
    assert "X-RateLimit-Remaining" not in headers
    speaker("DELETE", one, status=204)


def test_its_timeout_ends_it(bare: Speaker) -> None:
    one = f"{EXECS}/{bare.begin('sleep 600', timeout_seconds=1)}"
    assert bare("GET", f"{one}/wait?timeout=10")["state"] == "timed_out"


def test_the_same_key_begins_it_once(speaker: Speaker) -> None:
    key = {"Idempotency-Key": f"begin-{time.time_ns()}"}
    first, second = (speaker("POST", EXECS, {"command": "true"}, 201, **key) for _ in range(2))
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
def test_what_is_not_there_is_404(speaker: Speaker, path: str) -> None:
    for method, end in (("GET", ""), ("DELETE", ""), ("GET", "/output"), ("POST", "/kill"), ("GET", "/wait")):
        speaker(method, f"{EXECS}{path}{end}", status=404)


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
