"""Every field of every body: missing, null, of the wrong type, empty, too long, negative, huge, not text at all."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from tests.api.world import REFUSED, VBOX_VM, Caller, World, problem

Fields = Mapping[str, tuple[Sequence[Any], bool]]
MISSING = object()
NAMES = ["", " ", "a b", "a/b", "../x", "-x", ".x", "é", "名前", "a\n", "a" * 64, 7, 1.5, True, [], {}]
TEXTS = ["x" * 200_000, "a\0b", "\ud800", 7, True, [], {}]
UNSENDABLE = ["a\uffff", "\ufdd0", "\U0001fffe"]  # which JSON has, and QEMU's parser does not take
WORDS = ["", "x", "LINUX", 1, True, [], {}]
NUMBERS = [-1, 0, 1.5, "2", "", True, [], {}, 2**31, 2**63, 10**400, float("nan"), float("inf")]
FLAGS: list[Any] = ["true", "", 0, 1, [], {}]
OBJECTS = [[], "x", 1, True, {"unknown": 1}]

VM: Fields = {
    "name": (NAMES, True),
    "os_type": (WORDS, False),
    "vcpus": ([*NUMBERS, 17], False),
    "memory_mb": ([*NUMBERS, 127, 65537], False),
    "template": (NAMES, False),
    "network_config": (OBJECTS, False),
    "network_config.bridge": ([*TEXTS, "", "b" * 16], False),
    "network_config.ip": ([*TEXTS, "", "192.168.0.256", "1", "::g"], False),
    "storage_config": (OBJECTS, False),
    "storage_config.disk_size_gb": ([*NUMBERS, 2049], False),
    "storage_config.disk_type": (WORDS, False),
    "hypervisor": ([*WORDS, "xen"], False),
    "host": (NAMES, False),
    "restart_policy": ([*WORDS, "always"], False),
}
VBOX: Fields = {
    "name": (NAMES, True),
    "os_type": (["", "a b", "é", "x" * 65, 1, [], {}], False),
    "memory_mb": ([*NUMBERS, 127, 65537], False),
    "cpus": ([*NUMBERS, 17], False),
    "storage_gb": ([*NUMBERS, 2049], False),
    "network": ([[], "x", 1, {"adapter9": {}}, {"adapter1": []}, {"adapter1": {"unknown": 1}}], False),
    "network_config": (OBJECTS, False),
    "storage_controllers": ([{}, "x", [1], [{}], [{"name": "", "type": "sata"}], [{"name": "x"}] * 9], False),
    "hypervisor": (WORDS, False),
    "host": (NAMES, False),
    "restart_policy": ([*WORDS, "always"], False),
}
FORWARD: Fields = {
    "host_port": ([-1, 1, 80, 1023, 65536, 1.5, "8080", "", True, [], {}, 2**31, 10**400, float("nan")], False),
    "guest_port": ([*NUMBERS, 65536], True),
    "protocol": ([*WORDS, "TCP", "sctp"], False),
    "description": (TEXTS, False),
}
STOP: Fields = {"force": (FLAGS, False), "timeout_seconds": ([-1, 1.5, "2", True, [], 3601, 10**400], False)}
EXECUTION: Fields = {
    "command": (["", *TEXTS, *UNSENDABLE], True),
    "timeout_seconds": ([*NUMBERS, 3601], False),
    "working_directory": (["", *TEXTS, *UNSENDABLE], False),
    "environment": (
        [
            *["x", [], 1, {"": "x"}, {"a b": "x"}, {"A": 1}, {"A": None}, {"A": "\0"}, {"\ud800": "x"}],
            *({"A": text} for text in UNSENDABLE),
        ],
        False,
    ),
    "stdin": (["x" * 140_000, *TEXTS[1:]], False),
    "encoding": ([*WORDS, "latin-1"], False),
}
DETACHED: Fields = {**EXECUTION, "name": (NAMES, False), "timeout_seconds": ([*NUMBERS, 604_801], False)}
KILL: Fields = {"signal": (["", "SIGTERM", "term", "9", 9, True, [], {}], False)}
SNAPSHOT: Fields = {"name": (NAMES, True), "description": (TEXTS, False), "include_memory": (FLAGS, False)}
VBOX_SNAPSHOT: Fields = {"name": (NAMES, True), "description": (TEXTS, False), "include_ram": (FLAGS, False)}
START: Fields = {"headless": (FLAGS, False), "gui": (FLAGS, False)}
SIZE: Fields = {
    "vcpus": ([*NUMBERS, 17], False),
    "memory_mb": ([*NUMBERS, 127, 65537], False),
    "cpu_limit_percent": ([*NUMBERS, 101], False),
    "memory_limit_percent": ([*NUMBERS, 101], False),
}
MEDIUM: Fields = {
    "controller": (["", *TEXTS, "c" * 65], True),
    "port": ([-1, 1.5, "1", "", True, [], {}, 30, 2**31, 10**400, float("nan")], True),
    "device": ([-1, 1.5, "1", "", True, [], {}, 2, 10**400], False),
    "type": ([*WORDS, "floppy"], False),
    "medium": (["", *TEXTS, "m" * 1001], True),
    "create_if_missing": (FLAGS, False),
    "size_gb": ([*NUMBERS, 2049], False),
}
ADAPTER: Fields = {
    "enabled": (FLAGS, False),
    "type": ([*WORDS, "ne2000"], False),
    "cable_connected": (FLAGS, False),
    "mode": ([*WORDS, "wifi"], False),
    "bridge_adapter": (["", *TEXTS, "b" * 65], False),
}
REASON: Fields = {"reason": ([*TEXTS, "r" * 501], False)}
DRAIN: Fields = {
    **REASON,
    "strategy": ([*WORDS, "move it"], True),
    "deadline_seconds": ([*NUMBERS, 30 * 86400 + 1], False),
    "at_once": ([*NUMBERS, 101], False),
    "grace_seconds": ([-1, 1.5, "2", True, [], 3601, 10**400], False),
}
MOVE: Fields = {**STOP, "stop": (FLAGS, False), "host": (TEXTS, False)}
RESTORE: Fields = {"start_vm": (FLAGS, False)}
KEY: Fields = {
    "name": (["", *TEXTS], True),
    "access": (WORDS, False),
    "expires_at": (["", "x", "tomorrow", 1, 1e300, "0001-01-01T00:00:00+23:59", "2001-01-01T00:00:00Z", [], {}], False),
}
REGISTRATION: Fields = {
    "username": ([*TEXTS, "", " ", "a b", "é", "-x", "u" * 65], True),
    "password": ([*TEXTS, "", "short", "p" * 257], True),
    "role": (["", "root", 1, [], {}], False),
}
LOGIN: Fields = {"username": (TEXTS, True), "password": (TEXTS, True)}

# Dialect, path (and method if not POST), a good body, its fields, what is wrong for each and whether it is required.
BODIES: list[tuple[str, str, dict[str, Any], Fields]] = [
    ("microvm", "/vms", {"name": "bad-input"}, VM),
    ("vboxmcp", "/vms", VBOX_VM, VBOX),
    ("microvm", "/vms/{vm}/stop", {}, STOP),
    ("vboxmcp", "/vms/{vm}/stop", {}, STOP),
    ("microvm", "/vms/{vm}/restart", {}, STOP),
    ("microvm", "/vms/{vm}/move", {}, MOVE),
    ("vboxmcp", "/vms/{vm}/move", {}, MOVE),
    ("vboxmcp", "/vms/{vm}/start", {}, START),
    ("microvm", "/vms/{vm}/execute", {"command": "true"}, EXECUTION),
    ("vboxmcp", "/vms/{vm}/execute", {"command": "true"}, EXECUTION),
    ("microvm", "/vms/{vm}/execs", {"command": "true"}, DETACHED),
    ("vboxmcp", "/vms/{vm}/execs", {"command": "true"}, DETACHED),
    ("microvm", "/vms/{vm}/execs/" + "0" * 32 + "/kill", {}, KILL),
    ("vboxmcp", "/vms/{vm}/execs/" + "0" * 32 + "/kill", {}, KILL),
    ("microvm", "/vms/{vm}/network/port-forward", {"guest_port": 80}, FORWARD),
    ("vboxmcp", "/vms/{vm}/network/port-forward", {"guest_port": 80}, FORWARD),
    ("microvm", "/vms/{vm}/snapshots", {"name": "s"}, SNAPSHOT),
    ("vboxmcp", "/vms/{vm}/snapshots", {"name": "s"}, VBOX_SNAPSHOT),
    ("vboxmcp", "/vms/{vm}/snapshots/s/restore", {}, RESTORE),
    ("microvm", "/vms/{vm}/snapshots/s/restore", {}, RESTORE),
    ("microvm", "PUT /vms/{vm}/resources", {"vcpus": 1}, SIZE),
    ("vboxmcp", "PUT /vms/{vm}/resources", {"vcpus": 1}, SIZE),
    ("microvm", "/vms/{vm}/disks", {"controller": "c", "port": 1, "medium": "m"}, MEDIUM),
    ("vboxmcp", "/vms/{vm}/disks", {"controller": "c", "port": 1, "medium": "m"}, MEDIUM),
    ("microvm", "PUT /vms/{vm}/network-adapters/0", {"enabled": True}, ADAPTER),
    ("vboxmcp", "PUT /vms/{vm}/network-adapters/0", {"enabled": True}, ADAPTER),
    ("microvm", "/keys", {"name": "k"}, KEY),
    ("vboxmcp", "/keys", {"name": "k"}, KEY),
    ("microvm", "/hosts/host-a/cordon", {}, REASON),
    ("vboxmcp", "/hosts/host-a/activate", {}, REASON),
    ("microvm", "/hosts/host-a/fence", {}, {**REASON, "force": (FLAGS, False)}),
    ("vboxmcp", "/hosts/host-a/fence", {}, {**REASON, "force": (FLAGS, False)}),
    ("microvm", "/hosts/host-a/drain", {"strategy": "stop"}, DRAIN),
    ("vboxmcp", "/hosts/host-a/drain", {"strategy": "stop"}, DRAIN),
    ("microvm", "/auth/register", {"username": "bad-input", "password": "12345678"}, REGISTRATION),
    ("microvm", "/auth/login", {"username": "bad-input", "password": "12345678"}, LOGIN),
]
PAST = "2001-01-01T00:00:00Z"  # well-formed: a rule refuses it, and no schema


def _wrong(good: dict[str, Any], fields: Fields) -> Iterator[tuple[str, Any, Any]]:
    for field, (values, required) in fields.items():
        nullable = field in ("expires_at", "working_directory", "start_vm", "deadline_seconds")
        for value in [*values, *([] if nullable else [None]), *([MISSING] if required else [])]:
            yield field, value, _with(good, field, value)
    yield "unknown", 1, {**good, "unknown": 1}


def _with(good: dict[str, Any], field: str, value: Any) -> dict[str, Any]:
    outer, _, inner = field.partition(".")
    if inner:
        return {**good, outer: {inner: value}}
    return {name: v for name, v in {**good, field: value}.items() if v is not MISSING}


@pytest.fixture(scope="module")
def caller(world: World) -> Caller:
    return world.caller()


@pytest.fixture(scope="module")
def vm(world: World, caller: Caller) -> str:
    return world.add_vm(caller, observed="running", wanted="running")


@pytest.mark.parametrize(("dialect", "path", "good", "fields"), BODIES, ids=[f"{b[0]} {b[1]}" for b in BODIES])
def test_each_wrong_field_is_refused_and_named(
    world: World,
    caller: Caller,
    vm: str,
    dialect: str,
    path: str,
    good: dict[str, Any],
    fields: Fields,
) -> None:
    for field, value, body in _wrong(good, fields):
        text = json.dumps(body)
        method, _, place = path.rpartition(" ")
        headers = caller.headers(dialect)
        answer = world.request(
            method or "POST", place.format(vm=vm), headers, data=text, content_type="application/json"
        )
        expected = (400, "bad_request") if (dialect, value) == ("microvm", PAST) else REFUSED[dialect]
        assert problem(answer) == expected, (field, str(value)[:50], answer.text[:300])
        if answer.status_code == 422:
            named = [detail["field"] for detail in answer.json["details"]]
            assert any(name == field or name.startswith(f"{field}.") for name in named), (field, value, named)


def test_the_documents_own_words(world: World, caller: Caller) -> None:
    small = world.post("/vms", caller.bearer, json={"name": "x", "memory_mb": 64, "vcpus": 17})
    assert small.status_code == 422
    assert small.json == {
        "error": "validation_error",
        "message": "Request validation failed",
        "details": [
            {"field": "vcpus", "error": "must be between 1 and 16"},
            {"field": "memory_mb", "error": "must be at least 128"},
        ],
    }


QUERIES = {
    "limit": ["0", "101", "-1", "x", "", "1.5", "9" * 400, "%00"],
    "offset": ["-1", "x", "2147483648", "9" * 400],
    "status": ["x", "", "RUNNING"],
    "os_type": ["x", ""],
    "sort": ["x", "", "id; DROP TABLE vms"],
    "order": ["x", "up"],
}


@pytest.mark.parametrize("field", QUERIES)
def test_each_wrong_query_is_422(world: World, caller: Caller, field: str) -> None:
    for value in QUERIES[field]:
        answer = world.get(f"/vms?{field}={value}", caller.bearer)
        assert problem(answer) == (422, "validation_error"), value
        assert answer.json["details"][0]["field"] == field


def test_wrong_queries_of_operations(world: World, caller: Caller) -> None:
    for query in ("vm=%00", "state=x", "kind=x", "limit=0", "vm=" + "x" * 201):
        assert problem(world.get(f"/operations?{query}", caller.bearer)) == (422, "validation_error"), query
        assert problem(world.get(f"/operations?{query}", caller.key)) == (400, "invalid_request"), query
    for timeout in ("-1", "x", "3601", "9" * 400):
        assert world.get(f"/operations/op-1/wait?timeout={timeout}", caller.bearer).status_code == 422, timeout
