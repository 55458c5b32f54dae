"""Accounts, tokens and keys: who gets in, and who does not."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any

import jwt
import pytest

from core.models import ApiKey, LoginFailure
from core.models.base import now
from core.services import keys
from tests.api.world import PASSWORD, Caller, World, problem
from tests.support.waiting import until


@pytest.fixture(scope="module")
def caller(world: World) -> Caller:
    return world.caller()


def _register(world: World, headers: dict[str, str] | None = None, **more: str) -> Any:
    body = {"username": f"r{secrets.token_hex(5)}", "password": PASSWORD, **more}
    return world.post("/auth/register", headers, json=body)


def test_register_then_log_in_then_list(world: World) -> None:
    made = _register(world, role="user")
    assert made.status_code == 201
    assert set(made.json) == {"user_id", "username", "role", "created_at"}
    assert made.json["role"] == "user"
    answer = world.post("/auth/login", json={"username": made.json["username"], "password": PASSWORD})
    assert answer.json == {"access_token": answer.json["access_token"], "token_type": "bearer", "expires_in": 3600}
    listed = world.get("/vms", {"Authorization": f"Bearer {answer.json['access_token']}"})
    assert listed.json == {"vms": [], "total": 0, "limit": 50, "offset": 0}


def test_only_an_administrator_registers_an_administrator(world: World, caller: Caller) -> None:
    assert problem(_register(world, role="admin")) == (403, "forbidden")
    assert problem(_register(world, caller.bearer, role="admin")) == (403, "forbidden")
    assert problem(_register(world, {"Authorization": "Bearer x"}, role="admin")) == (401, "unauthorized")
    made = _register(world, world.caller("admin").bearer, role="admin")
    assert (made.status_code, made.json["role"]) == (201, "admin")


def test_a_name_is_registered_once(world: World, caller: Caller) -> None:
    assert problem(_register(world, username=caller.actor.username)) == (409, "conflict")


def test_a_wrong_password_and_an_unknown_name_look_alike(world: World, caller: Caller) -> None:
    bodies = [
        {"username": caller.actor.username, "password": "wrong password"},
        {"username": "nobody-here", "password": "wrong password"},
    ]
    first, second = (world.post("/auth/login", json=body) for body in bodies)
    assert problem(first) == problem(second) == (401, "unauthorized")
    assert first.json["message"] == second.json["message"]


def test_wrong_passwords_slow_down_the_next_tries(world: World) -> None:
    name = world.caller().actor.username
    wrong = {"username": name, "password": "wrong password"}
    assert [world.post("/auth/login", json=wrong).status_code for _ in range(5)] == [401] * 5
    right = {"username": name, "password": PASSWORD}
    refused = world.post("/auth/login", json=right)
    assert problem(refused) == (429, "rate_limit_exceeded")
    assert refused.headers["Retry-After"] == str(refused.json["retry_after_seconds"])
    with world.context.transaction() as session:
        session.query(LoginFailure).filter_by(username=name).one().next_try_at = now()
    assert world.post("/auth/login", json=right).status_code == 200


def _token(world: World, **claims: Any) -> str:
    payload = {
        "sub": "user-1",
        "type": "access",
        "fresh": False,
        "jti": "1",
        "iat": now(),
        "nbf": now() - timedelta(seconds=5),
        "exp": now() + timedelta(hours=1),
    }
    return jwt.encode(payload | claims, world.context.secret("jwt"), "HS256")


def _bad_headers(world: World, caller: Caller) -> dict[str, dict[str, str]]:
    good = caller.bearer["Authorization"]
    sub = caller.actor.user_id
    return {
        "nothing": {},
        "expired": {"Authorization": "Bearer " + _token(world, sub=sub, exp=now() - timedelta(seconds=1))},
        "not yet valid": {"Authorization": "Bearer " + _token(world, sub=sub, nbf=now() + timedelta(hours=1))},
        "signed by another": {"Authorization": "Bearer " + jwt.encode({"sub": sub}, "x" * 32, "HS256")},
        "signed by nobody": {"Authorization": "Bearer " + jwt.encode({"sub": sub}, "", "none")},
        "of nobody": {"Authorization": "Bearer " + _token(world, sub="user-gone")},
        "of a number": {"Authorization": "Bearer " + _token(world, sub=1)},
        "of no one": {"Authorization": "Bearer " + _token(world, sub=None)},
        "cut": {"Authorization": good[:-3]},
        "garbage": {"Authorization": "Bearer garbage"},
        "two dots": {"Authorization": "Bearer a.b.c"},
        "not ASCII": {"Authorization": "Bearer \xe9.\xe9.\xe9"},
        "empty": {"Authorization": "Bearer "},
        "basic": {"Authorization": "Basic dXNlcjpwYXNz"},
        "no key of ours as a token": {"Authorization": "Bearer corral_unknown"},
        "unknown key": {"X-API-Key": "corral_unknown"},
        "empty key": {"X-API-Key": ""},
        "key not ASCII": {"X-API-Key": "\xe9"},
        "token as a key": {"X-API-Key": good},
    }


def test_whatever_is_no_credential_is_401(world: World, caller: Caller) -> None:
    for name, headers in _bad_headers(world, caller).items():
        answer = world.get("/vms", headers)
        assert problem(answer) == (401, "unauthorized"), name
        scheme = "ApiKey" if "X-API-Key" in headers else "Bearer"
        assert answer.headers["WWW-Authenticate"].startswith(scheme), name


def test_a_token_of_another_secret_is_no_good_after_all_it_says_is_right(world: World, caller: Caller) -> None:
    assert world.get("/vms", {"Authorization": "Bearer " + _token(world, sub=caller.actor.user_id)}).status_code == 200


def test_a_token_that_was_good_expires(world: World, caller: Caller) -> None:
    soon = _token(world, sub=caller.actor.user_id, exp=now() + timedelta(seconds=2))
    headers = {"Authorization": "Bearer " + soon}
    assert world.get("/vms", headers).status_code == 200
    until(lambda: world.get("/vms", headers).status_code != 200)
    assert problem(world.get("/vms", headers)) == (401, "unauthorized")


def test_revoked_and_expired_keys_are_401(world: World) -> None:
    caller = world.caller()
    with world.context.transaction() as session:
        key = session.query(ApiKey).filter_by(user_id=caller.actor.user_id).one()
        key.expires_at = now() - timedelta(seconds=1)
    assert problem(world.get("/vms", caller.key)) == (401, "unauthorized")
    with world.context.transaction() as session:
        other, secret = keys.create(session, caller.actor, "other")
    assert world.get("/vms", {"X-API-Key": secret}).status_code == 200
    assert world.delete(f"/keys/{other.id}", {"X-API-Key": secret}).status_code == 204
    assert problem(world.get("/vms", {"X-API-Key": secret})) == (401, "unauthorized")


def test_a_read_only_key_changes_nothing(world: World) -> None:
    reader = world.caller(access="read")
    vm = world.add_vm(reader)
    assert world.get("/vms", reader.key).status_code == 200
    for method, path, body in (
        ("POST", "/vms", {"name": "x"}),
        ("POST", f"/vms/{vm}/start", None),
        ("POST", f"/vms/{vm}/execute", {"command": "true"}),
        ("POST", f"/vms/{vm}/snapshots", {"name": "s"}),
        ("POST", "/keys", {"name": "k"}),
        ("DELETE", f"/vms/{vm}", None),
    ):
        assert problem(world.request(method, path, reader.key, json=body)) == (403, "forbidden"), path


def test_both_credentials_the_key_counts(world: World, caller: Caller) -> None:
    listed = world.get("/vms", caller.key | {"Authorization": "Bearer garbage"})
    assert (listed.status_code, listed.json["status"]) == (200, "success")
    assert problem(world.get("/vms", caller.bearer | {"X-API-Key": "corral_unknown"})) == (401, "unauthorized")
