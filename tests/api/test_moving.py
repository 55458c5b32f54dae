"""POST /vms/{vm}/move in both dialects, and /moves for hosts alone."""

from __future__ import annotations

import hashlib
import time

import pytest

from core.contract import proofs
from core.contract.states import Observed
from core.models import Host
from core.services.identities import accounts
from tests.api.world import Caller, World, problem

SECRET = hashlib.sha256(b"what the target alone knows").hexdigest()


@pytest.fixture(scope="module")
def target(world: World) -> str:
    """A host that can take VMs in."""
    name = world.add_host("target")
    with world.context.transaction() as session:
        accounts.admit(session, name, SECRET)
        for host in (session.get_one(Host, name), session.get_one(Host, "host-a")):
            host.drivers = [{**each, "capabilities": [*each["capabilities"], "moves"]} for each in host.drivers]
    return name


@pytest.fixture(scope="module")
def caller(world: World, target: str) -> Caller:
    return world.caller()


@pytest.mark.parametrize("dialect", ["bearer", "key"])
def test_it_is_an_operation_that_can_be_cancelled(world: World, caller: Caller, target: str, dialect: str) -> None:
    vm, headers = world.add_vm(caller, f"goes-{dialect}"), getattr(caller, dialect)
    answer = world.post(f"/vms/{vm}/move", headers, json={"host": target})
    assert answer.status_code == 202, answer.text
    operation = answer.json.get("data", answer.json)
    assert (operation["kind"], operation["state"], operation["host"]) == ("move", "queued", "host-a")
    busy = problem(world.post(f"/vms/{vm}/start", headers))
    assert busy[0] == 409
    assert world.delete(f"/operations/{operation['id']}", headers).status_code == 202


def test_what_stands_in_the_way_is_said(world: World, caller: Caller, target: str) -> None:
    runs = world.add_vm(caller, "runs-on", observed=Observed.RUNNING)
    assert "is running: stop it first" in world.post(f"/vms/{runs}/move", caller.bearer, json={}).text
    off = world.add_vm(caller, "stays-off")
    for body, status, why in (
        ({"host": "host-a"}, 409, "is on host 'host-a' already"),
        ({"host": "nowhere"}, 400, "there is no host 'nowhere'"),
    ):
        answer = world.post(f"/vms/{off}/move", caller.bearer, json=body)
        assert (answer.status_code, why in answer.text) == (status, True), answer.text
    assert problem(world.post(f"/vms/{off}/move", world.caller().bearer, json={}))[0] == 404
    assert problem(world.post(f"/vms/{off}/move", world.caller("admin", access="read").key, json={}))[0] == 403


def test_its_files_are_for_its_target_alone(world: World, caller: Caller, target: str) -> None:
    vm = world.add_vm(caller, "goes-alone")
    move = world.post(f"/vms/{vm}/move", caller.bearer, json={"host": target}).json["id"]
    path = f"/moves/{move}/{'a' * 64}"
    proof = proofs.header(target, SECRET, "GET", path, time.time())
    for headers, status in (
        ({}, 401),
        (caller.bearer, 401),
        (world.caller("admin").bearer, 401),
        ({"Authorization": proof.replace("GET", "PUT")[:-1] + "x"}, 401),
        ({"Authorization": proof}, 404),  # its source has told of no files yet
    ):
        assert problem(world.get(path, headers))[0] == status
