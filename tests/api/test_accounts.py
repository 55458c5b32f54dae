"""Passwords, and who is let in: nobody is locked out by a stranger, nobody is found out, nothing revoked holds."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from api.auth import passwords
from core.models import LoginFailure
from core.models.base import now
from core.services import logins
from tests.api.world import INVALID, PASSWORD, Caller, World, problem

WRONG = "wrong password"


def _login(world: World, name: str, password: str, address: str) -> Any:
    body = {"username": name, "password": password}
    return world.post("/auth/login", json=body, environ_base={"REMOTE_ADDR": address})


@pytest.fixture
def caller(world: World) -> Caller:
    return world.caller()


def _prolong_the_pause(world: World, name: str) -> None:
    """The first is two seconds, in which a busy machine may not get to the next request."""
    with world.context.transaction() as session:
        failed = session.scalars(select(LoginFailure).where(LoginFailure.username == name)).one()
        assert failed.next_try_at is not None
        failed.next_try_at = now() + timedelta(minutes=2)


def test_nobody_locks_out_another_and_unknown_names_wait_alike(world: World, caller: Caller) -> None:
    for name in (caller.actor.username, f"nobody-{secrets.token_hex(4)}"):
        assert [_login(world, name, WRONG, "192.0.2.1").status_code for _ in range(5)] == [401] * 5, name
        _prolong_the_pause(world, name)
        refused = _login(world, name, WRONG, "192.0.2.1")
        assert refused.status_code == 429, name
        assert refused.headers["Retry-After"]
    assert _login(world, caller.actor.username, PASSWORD, "192.0.2.1").status_code == 429
    assert _login(world, caller.actor.username, PASSWORD, "192.0.2.2").status_code == 200


def test_a_network_of_ipv6_is_one_stranger(world: World, caller: Caller) -> None:
    name = caller.actor.username
    assert [_login(world, name, WRONG, f"2001:db8::{n:x}").status_code for n in range(5)] == [401] * 5
    _prolong_the_pause(world, name)
    assert _login(world, name, WRONG, "2001:db8::5").status_code == 429
    assert _login(world, name, PASSWORD, "2001:db8:0:1::1").status_code == 200


def test_a_right_password_begins_the_count_anew(world: World, caller: Caller) -> None:
    name = caller.actor.username
    for _ in range(3):
        assert [_login(world, name, WRONG, "192.0.2.3").status_code for _ in range(4)] == [401] * 4
        assert _login(world, name, PASSWORD, "192.0.2.3").status_code == 200


def test_tries_at_once_are_counted_before_they_are_checked(world: World, caller: Caller) -> None:
    with world.context.transaction() as session:
        begun = [logins.begin(session, caller.actor.username, "192.0.2.4") for _ in range(5)]
    assert all(attempt.matches(PASSWORD) for attempt in begun)
    assert _login(world, caller.actor.username, WRONG, "192.0.2.4").status_code == 429


def test_no_row_is_held_while_a_password_is_checked(
    world: World, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def beside(work: Any) -> Any:
        assert world.context.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
        return work()

    monkeypatch.setattr(passwords, "beside", beside)
    assert _login(world, caller.actor.username, PASSWORD, "192.0.2.5").status_code == 200


@pytest.mark.parametrize("dialect", ["microvm", "vboxmcp"])
def test_a_new_password_ends_all_tokens_and_no_key(world: World, caller: Caller, dialect: str) -> None:
    headers, name = caller.headers(dialect), caller.actor.username
    refused = world.post("/auth/password", headers, json={"current_password": WRONG, "new_password": "battery staple"})
    assert refused.status_code == 401
    short = world.post("/auth/password", headers, json={"current_password": PASSWORD, "new_password": "short"})
    assert short.status_code == INVALID[dialect]
    assert "new_password" in short.text
    body = {"current_password": PASSWORD, "new_password": "battery staple"}
    changed = world.post("/auth/password", headers, json=body)
    assert changed.status_code == 200, changed.text
    said = changed.json if dialect == "microvm" else changed.json["data"]
    assert problem(world.get("/vms", caller.bearer)) == (401, "unauthorized")
    assert world.get("/vms", {"Authorization": f"Bearer {said['access_token']}"}).status_code == 200
    assert world.get("/vms", caller.key).status_code == 200
    assert _login(world, name, PASSWORD, "192.0.2.6").status_code == 401
    assert _login(world, name, "battery staple", "192.0.2.6").status_code == 200


def test_a_disabled_user_is_let_in_by_nothing(world: World, caller: Caller) -> None:
    admin, name = world.caller("admin"), caller.actor.username
    assert problem(world.post(f"/users/{name}/disable", caller.bearer)) == (403, "forbidden")
    assert world.post(f"/users/{name}/disable", admin.bearer).json["disabled_at"]
    for headers in (caller.bearer, caller.key):
        assert problem(world.get("/vms", headers)) == (401, "unauthorized")
    assert _login(world, name, PASSWORD, "192.0.2.7").status_code == 401
    assert world.post(f"/users/{name}/enable", admin.key).json["data"]["disabled_at"] is None
    assert world.get("/vms", caller.key).status_code == 200
    assert problem(world.post(f"/users/{admin.actor.username}/disable", admin.bearer)) == (409, "conflict")
    assert problem(world.post("/users/nobody-there/disable", admin.bearer)) == (404, "not_found")


def test_tokens_are_revoked_by_their_user_and_by_administrators_alone(world: World, caller: Caller) -> None:
    other, name = world.caller(), caller.actor.username
    assert problem(world.post(f"/users/{name}/revoke-tokens", other.bearer)) == (403, "forbidden")
    assert world.get("/vms", caller.bearer).status_code == 200
    assert world.post(f"/users/{name}/revoke-tokens", caller.bearer).status_code == 200
    assert problem(world.get("/vms", caller.bearer)) == (401, "unauthorized")
    assert world.get("/vms", caller.key).status_code == 200


def test_administrators_alone_list_the_users(world: World, caller: Caller) -> None:
    admin, name = world.caller("admin"), caller.actor.username
    for headers in (caller.bearer, caller.key):
        assert problem(world.get("/users", headers)) == (403, "forbidden")
    for path in ("/users?limit=0", "/users?sort=password_hash"):
        assert world.get(path, admin.bearer).status_code == INVALID["microvm"]
    listed = world.get("/users?limit=100", admin.bearer).json
    assert name in [each["username"] for each in listed["users"]] or listed["total"] > 100
    assert "password_hash" not in world.get("/users", admin.key).text
