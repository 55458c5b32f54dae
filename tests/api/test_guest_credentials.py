"""PUT /vms/{vm}/guest-credentials, in both dialects; what the host does with them is the driver's test."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.world import Caller, World, problem

SECRET = "correct horse battery staple"
GOOD = {"username": "root", "password": SECRET}
PATH = "/vms/{vm}/guest-credentials"
WRONG: list[Any] = [None, "", 1, True, [], {}, "x" * 257, "a\0b", "\ud800"]


@pytest.fixture(scope="module")
def caller(world: World) -> Caller:
    return world.caller()


@pytest.mark.parametrize("field", ["username", "password"])
def test_each_wrong_field_is_refused_and_never_said_back(world: World, caller: Caller, field: str) -> None:
    path = PATH.format(vm=world.add_vm(caller))
    bodies = [{**GOOD, field: value} for value in WRONG]
    bodies.append({name: value for name, value in GOOD.items() if name != field})
    for body in bodies:
        microvm = world.request("PUT", path, caller.bearer, json=body)
        assert microvm.status_code == 422, body
        assert problem(world.request("PUT", path, caller.key, json=body)) == (400, "invalid_request")
        assert SECRET not in microvm.text


def test_a_driver_that_needs_none_says_so(world: World, caller: Caller) -> None:
    path = PATH.format(vm=world.add_vm(caller))
    for headers in (caller.bearer, caller.key):
        answer = world.request("PUT", path, headers, json=GOOD)
        assert answer.status_code == 400
        assert "does not offer guest_credentials" in answer.text


def test_another_users_vm_is_404(world: World, caller: Caller) -> None:
    path = PATH.format(vm=world.add_vm(caller))
    answer = world.request("PUT", path, world.caller().bearer, json=GOOD)
    assert answer.status_code == 404
