"""`Idempotency-Key` and `Prefer` on what is accepted."""

from __future__ import annotations

import secrets
import threading
from typing import Any

import pytest

from core.models import Operation
from tests.api.world import VBOX_VM, Caller, World, problem


@pytest.fixture
def caller(world: World) -> Caller:
    return world.caller()


def _key() -> dict[str, str]:
    return {"Idempotency-Key": secrets.token_hex(8)}


ASYNC = {"Prefer": "respond-async"}


def test_the_same_request_again_is_the_same_operation(world: World, caller: Caller) -> None:
    headers = caller.bearer | ASYNC | _key()
    first = world.post("/vms", headers, json={"name": "once"})
    second = world.post("/vms", headers, json={"name": "once"})
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json["id"] == second.json["id"]
    assert "Idempotency-Replayed" not in first.headers
    assert second.headers["Idempotency-Replayed"] == "true"
    with world.context.transaction() as session:
        assert session.query(Operation).filter_by(owner_id=caller.actor.user_id).count() == 1


def test_the_key_with_another_body_or_path_is_409(world: World, caller: Caller) -> None:
    headers = caller.bearer | ASYNC | _key()
    assert world.post("/vms", headers, json={"name": "first"}).status_code == 202
    assert problem(world.post("/vms", headers, json={"name": "second"})) == (409, "conflict")
    assert problem(world.post("/vms/first/start", headers)) == (409, "conflict")


def test_keys_are_each_users_own(world: World, caller: Caller) -> None:
    key = _key()
    first = world.post("/vms", caller.bearer | ASYNC | key, json={"name": "mine"})
    second = world.post("/vms", world.caller().bearer | ASYNC | key, json={"name": "mine"})
    assert first.json["id"] != second.json["id"]


def test_what_was_refused_may_be_tried_again(world: World, caller: Caller) -> None:
    headers = caller.bearer | ASYNC | _key()
    vm = world.add_vm(caller, observed="running", wanted="running")
    assert world.post(f"/vms/{vm}/start", headers).status_code == 409
    with world.context.transaction() as session:
        session.execute(_stopped(vm))
    assert world.post(f"/vms/{vm}/start", headers).status_code == 202


def _stopped(vm_id: str) -> Any:
    from sqlalchemy import update

    from core.models import Vm

    return update(Vm).where(Vm.id == vm_id).values(observed="stopped", wanted="stopped")


def test_many_at_once_begin_one(world: World, caller: Caller) -> None:
    headers = caller.bearer | ASYNC | _key()
    answers: list[Any] = []
    threads = [
        threading.Thread(target=lambda: answers.append(world.post("/vms", headers, json={"name": "race"})))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers] == [202] * 8
    assert len({answer.json["id"] for answer in answers}) == 1


def test_a_key_made_twice_is_one_key_whose_secret_is_shown_once(world: World, caller: Caller) -> None:
    headers = caller.key | _key()
    first = world.post("/keys", headers, json={"name": "twice"})
    second = world.post("/keys", headers, json={"name": "twice"})
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json["data"]["key"]
    assert second.json["data"] == first.json["data"] | {"key": None}
    assert second.headers["Idempotency-Replayed"] == "true"


def test_registering_twice_with_a_key_is_one_account(world: World) -> None:
    body = {"username": f"u{secrets.token_hex(5)}", "password": "correct horse"}
    headers = _key()
    first, second = (world.post("/auth/register", headers, json=body) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json == second.json
    other = world.post("/auth/register", headers, json=body | {"password": "another horse"})
    assert problem(other) == (409, "conflict")


def test_prefer_decides_how_long_to_wait(world: World, caller: Caller) -> None:
    vm = world.add_vm(caller)
    answer = world.post(f"/vms/{vm}/start", caller.bearer | {"Prefer": "wait=1"})
    assert answer.status_code == 202
    assert answer.headers["Preference-Applied"] == "wait=1"
    assert answer.headers["Location"] == f"/api/v1/operations/{answer.json['id']}"
    assert (answer.json["kind"], answer.json["state"]) == ("start", "queued")
    followed = world.get(answer.headers["Location"].removeprefix("/api/v1"), caller.key)
    assert followed.json["data"]["id"] == answer.json["id"]


def test_a_wait_that_runs_out_is_202_with_the_operation(world: World, caller: Caller) -> None:
    answer = world.post("/vms", caller.bearer, json={"name": "slow"})
    assert (answer.status_code, answer.json["state"]) == (202, "queued")
    assert "Preference-Applied" not in answer.headers
    waited = world.get(f"/operations/{answer.json['id']}/wait?timeout=1", caller.bearer)
    assert (waited.status_code, waited.json["state"]) == (202, "queued")
    assert "X-RateLimit-Limit" not in waited.headers


def test_vboxmcp_says_at_once_that_a_start_has_begun(world: World, caller: Caller) -> None:
    vm = world.add_vm(caller, name="box")
    answer = world.post(f"/vms/{vm}/start", caller.key)
    data = {"id": vm, "name": "box", "state": "starting", "message": "VM is starting"}
    assert (answer.status_code, answer.json) == (200, {"status": "success", "data": data})
    late = world.post("/vms", caller.key | {"Prefer": "wait=0"}, json={**VBOX_VM, "name": "box2"})
    assert late.status_code == 202
    assert late.json["data"]["kind"] == "create"


def test_a_second_change_meanwhile_is_409_and_names_the_first(world: World, caller: Caller) -> None:
    vm = world.add_vm(caller)
    first = world.post(f"/vms/{vm}/start", caller.bearer | ASYNC)
    second = world.post(f"/vms/{vm}/start", caller.bearer | ASYNC)
    assert problem(second) == (409, "conflict")
    assert second.json["details"] == {"operation_id": first.json["id"]}


def test_an_operation_can_be_cancelled_by_its_owner_alone(world: World, caller: Caller) -> None:
    vm = world.add_vm(caller)
    begun = world.post(f"/vms/{vm}/start", caller.bearer | ASYNC).json["id"]
    assert problem(world.delete(f"/operations/{begun}", world.caller().bearer)) == (404, "not_found")
    answer = world.delete(f"/operations/{begun}", caller.bearer)
    assert answer.status_code == 202
    assert answer.json["cancel_requested_at"]
    listed = world.get(f"/operations?vm={vm}&state=queued&kind=start", caller.bearer).json
    assert ([found["id"] for found in listed["operations"]], listed["total"]) == ([begun], 1)
    assert world.get(f"/operations?vm={vm}&kind=stop", caller.bearer).json["total"] == 0
