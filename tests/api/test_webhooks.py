"""/webhooks, as their owners and others see them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from core.services import events
from core.services.webhooks import hooks, queue
from tests.api.world import World
from tests.support.record import Caller

URL = "https://example.org/hook"


def created(world: World, caller: Caller, **body: Any) -> Any:
    answer = world.post("/webhooks", caller.bearer, json={"url": URL} | body)
    assert answer.status_code == 201, answer.text
    return answer.json


def test_one_is_made_listed_changed_and_deleted(world: World) -> None:
    caller = world.caller()
    made = created(world, caller, types=["vm_deleted", "vm_created"])
    assert made["secret"].startswith("whsec_")
    path = f"/webhooks/{made['id']}"
    shown = world.get(path, caller.bearer).json
    assert shown == {name: value for name, value in made.items() if name != "secret"}
    assert (shown["types"], shown["enabled"]) == (["vm_created", "vm_deleted"], True)
    assert world.get("/webhooks", caller.bearer).json["webhooks"] == [shown]
    changed = world.request("PATCH", path, caller.bearer, json={"enabled": False, "types": []}).json
    assert (changed["enabled"], changed["types"], changed["url"]) == (False, [], URL)
    assert changed["disabled_reason"] == "by its owner"
    assert world.post(f"{path}/test", caller.bearer).status_code == 409
    assert world.request("PATCH", path, caller.bearer, json={"enabled": True}).json["disabled_reason"] is None
    assert world.post(f"{path}/test", caller.bearer).status_code == 202
    assert world.post(f"{path}/secret", caller.bearer).json["secret"] != made["secret"]
    assert world.delete(path, caller.bearer).status_code == 204
    assert world.get(path, caller.bearer).status_code == 404


def test_the_secret_is_shown_once_and_is_in_no_log(world: World) -> None:
    caller = world.caller()
    headers = caller.bearer | {"Idempotency-Key": "once"}
    first = world.post("/webhooks", headers, json={"url": URL})
    again = world.post("/webhooks", headers, json={"url": URL})
    assert again.json == first.json | {"secret": None}
    everything = json.dumps(world.get("/security/audit-logs?limit=100", world.caller("admin").bearer).json)
    assert first.json["secret"] not in everything


@pytest.mark.parametrize(
    ("body", "field", "status"),
    [
        ({}, "url", 422),
        ({"url": ""}, "url", 422),
        ({"url": 5}, "url", 422),
        ({"url": "ftp://example.org"}, "url", 400),
        ({"url": "https://"}, "url", 400),
        ({"url": "https://user:secret@example.org"}, "url", 400),
        ({"url": "https://example.org/#a"}, "url", 400),
        ({"url": "https://example.org/ä"}, "url", 400),
        ({"url": "https://example.org/a b"}, "url", 400),
        ({"url": "https://example.org:99999"}, "url", 400),
        ({"url": "https://[::1"}, "url", 400),
        ({"url": "https://127.0.0.1/"}, "url", 400),
        ({"url": "https://[::ffff:10.0.0.1]:8443/"}, "url", 400),
        ({"url": f"https://example.org/{'a' * 2000}"}, "url", 422),
        ({"url": URL, "types": "vm_created"}, "types", 422),
        ({"url": URL, "types": ["vm_exploded"]}, "types", 400),
        ({"url": URL, "types": ["vm_created"] * 100}, "types", 422),
        ({"url": URL, "secret": "mine"}, "secret", 422),
    ],
)
def test_bad_ones_are_refused_in_the_callers_field(world: World, body: dict[str, Any], field: str, status: int) -> None:
    answer = world.post("/webhooks", world.caller().bearer, json=body)
    assert answer.status_code == status
    assert field in answer.text


def test_a_user_has_so_many_at_most(world: World) -> None:
    caller = world.caller()
    for _ in range(hooks.MOST):
        created(world, caller)
    answer = world.post("/webhooks", caller.bearer, json={"url": URL})
    assert answer.status_code == 400
    assert "delete one first" in answer.text


def test_nobody_sees_or_touches_anothers(world: World) -> None:
    made = created(world, world.caller())
    other, path = world.caller(), f"/webhooks/{made['id']}"
    assert world.get("/webhooks", other.bearer).json["webhooks"] == []
    requests = [
        ("GET", path, None),
        ("PATCH", path, {"enabled": False}),
        ("DELETE", path, None),
        ("POST", f"{path}/secret", None),
        ("POST", f"{path}/test", None),
        ("GET", f"{path}/deliveries", None),
        ("POST", f"{path}/deliveries/1/resend", None),
    ]
    for method, each, body in requests:
        answer = (
            world.request(method, each, other.bearer, json=body) if body else world.request(method, each, other.bearer)
        )
        assert answer.status_code == 404, (method, each, answer.text)
    reader = world.caller(access="read")
    assert world.post("/webhooks", reader.key, json={"url": URL}).status_code == 403


def test_deliveries_are_listed_and_sent_again(world: World) -> None:
    caller = world.caller()
    made = created(world, caller)
    world.add_vm(caller, "noted")
    with world.context.transaction() as session:
        vm = world.record.vm(caller)
        events.of_vm(session, "vm_deleted", vm, {})
    with world.context.transaction() as session:
        queue.fan_out(session)
    path = f"/webhooks/{made['id']}/deliveries"
    listed = world.get(f"{path}?state=waiting", caller.bearer).json
    (delivery, *_) = listed["deliveries"]
    assert (delivery["type"], delivery["vm_id"], delivery["attempts"]) == ("vm_deleted", vm.id, 0)
    assert world.get(f"{path}?state=failed", caller.bearer).json["deliveries"] == []
    assert world.get(f"{path}?state=eaten", caller.bearer).status_code == 422
    assert world.post(f"{path}/{delivery['id']}/resend", caller.bearer).status_code == 202
    assert world.post(f"{path}/999999999/resend", caller.bearer).status_code == 404
    assert world.post(f"{path}/99999999999999999999/resend", caller.bearer).status_code == 404
