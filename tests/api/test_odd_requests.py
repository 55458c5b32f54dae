"""Requests that are odd as a whole: bodies that are no JSON, other types, names and headers."""

from __future__ import annotations

import json

import pytest

from tests.api.world import REFUSED, VBOX_VM, Caller, World, problem


@pytest.fixture(scope="module")
def caller(world: World) -> Caller:
    return world.caller()


NOT_JSON = [b"{", b"[" * 200_000, b"\xff\xfe", b"nul", b"{'a': 1}", b'{"name": ' + b"9" * 5000 + b"}", b'{"a": 1} x']
NOT_OBJECTS = [b"[]", b"null", b'"x"', b"1", b"true"]


@pytest.mark.parametrize("dialect", ["microvm", "vboxmcp"])
def test_bodies_that_are_no_json_objects(world: World, caller: Caller, dialect: str) -> None:
    headers = caller.headers(dialect)
    malformed = {"microvm": (400, "bad_request"), "vboxmcp": (400, "invalid_request")}
    for data in NOT_JSON:
        answer = world.post("/vms", headers, data=data, content_type="application/json")
        assert problem(answer) == malformed[dialect], data[:20]
    for data in NOT_OBJECTS:
        answer = world.post("/vms", headers, data=data, content_type="application/json")
        assert problem(answer) == REFUSED[dialect], data


@pytest.mark.parametrize("dialect", ["microvm", "vboxmcp"])
def test_a_body_of_another_type_is_415_and_a_huge_one_413(world: World, caller: Caller, dialect: str) -> None:
    headers = caller.headers(dialect)
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""):
        answer = world.post("/vms", headers, data=b'{"name": "x"}', content_type=kind)
        assert problem(answer) == (415, "unsupported_media_type"), kind
    huge = json.dumps({"name": "x" * (1 << 20)}).encode()
    answer = world.post("/vms", headers, data=huge, content_type="application/json")
    assert problem(answer) == (413, "payload_too_large")


ODD_NAMES = [
    "a b",
    "é",
    "名",
    "%00",
    "a%00b",
    "%ed%a0%80",
    "%ff",
    "x" * 5000,
    "..",
    "%2e%2e%2fetc",
    "a%2fb",
    "'; --",
    "%0a",
]


@pytest.mark.parametrize("dialect", ["microvm", "vboxmcp"])
@pytest.mark.parametrize("name", ODD_NAMES)
def test_names_that_nothing_has_are_404(world: World, caller: Caller, dialect: str, name: str) -> None:
    headers = caller.headers(dialect)
    for method, path in (
        ("GET", f"/vms/{name}"),
        ("DELETE", f"/vms/{name}"),
        ("POST", f"/vms/{name}/start"),
        ("GET", f"/vms/{name}/network"),
        ("GET", f"/operations/{name}"),
        ("GET", f"/hosts/{name}"),
        ("DELETE", f"/keys/{name}"),
    ):
        status, word = problem(world.request(method, path, headers))
        assert (status, word) in ((404, "not_found"), (404, "vm_not_found")), path


def test_unknown_template_host_and_hypervisor(world: World, caller: Caller) -> None:
    for field, value in (("template", "no-such-image"), ("host", "no-such-host")):
        answer = world.post("/vms", caller.bearer, json={"name": "x", field: value})
        assert problem(answer) == (400, "bad_request")
        assert answer.json["details"]["field"] == field
        assert value in answer.json["details"]["issue"]
    answer = world.post("/vms", caller.bearer, json={"name": "x", "hypervisor": "qemu"})
    assert problem(answer) == (409, "conflict")
    assert {"host": "host-a", "reason": "does not offer qemu"} in answer.json["details"]["rejected"]
    answer = world.post("/vms", caller.key, json={**VBOX_VM, "hypervisor": "qemu"})
    assert problem(answer) == (409, "insufficient_resources")


@pytest.mark.parametrize("header", ["Idempotency-Key", "Prefer", "X-Request-ID"])
def test_odd_headers_do_no_harm(world: World, caller: Caller, header: str) -> None:
    for value in ("", " ", "x" * 4000, "\xe9", "wait=-1", "wait=" + "9" * 400, "a b", "wait=x, respond-async"):
        answer = world.post("/keys", caller.bearer | {header: value}, json={"name": "k"})
        refused = header == "Idempotency-Key" and value != "wait=-1"  # the one that can be a key; others are hints
        assert answer.status_code == (400 if refused else 201), (value, answer.text)
