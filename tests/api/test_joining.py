"""Machines become hosts: the tokens, and what each of them is good for."""

from __future__ import annotations

import hashlib
import io
import secrets
import tarfile
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import redis
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

import deploy
from cli.fleet.accounts import address
from core.contract import joining
from core.models import Host, HostIdentity, JoinToken
from core.models.base import now
from core.services.identities import accounts
from core.version import VERSION
from tests.api.world import INVALID, Caller, World, problem


@pytest.fixture(scope="module")
def admin(world: World) -> Caller:
    return world.caller("admin")


@pytest.fixture
def name(world: World) -> Iterator[str]:
    """A name that no host has."""
    made = f"h{secrets.token_hex(4)}"
    yield made
    with world.context.transaction() as session:
        accounts.expel(session, made)
        host = session.get(Host, made)
        if host is not None:
            session.delete(host)


def mint(world: World, admin: Caller, **body: Any) -> Any:
    answer = world.post("/join-tokens", admin.bearer, json=body)
    assert answer.status_code == 201, answer.text
    return answer.json


def request_with(token: str, theirs: str = "its own", /, **changes: Any) -> dict[str, Any]:
    read = joining.read(token)
    digest = hashlib.sha256(theirs.encode()).hexdigest()
    asked = {"token": read.id, "secret": read.secret, "host": "any", "secret_sha256": digest}
    return {**asked, "version": VERSION, "at": time.time(), **changes}


def join(world: World, token: str, theirs: str = "its own", /, **changes: Any) -> Any:
    return world.post("/join", json=request_with(token, theirs, **changes))


def refused(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json["details"]["reason"]


def opens(world: World, host: str, secret: str) -> bool:
    url = address(world.settings.redis_url, host, secret)
    try:
        with Redis.from_url(url, retry=Retry(NoBackoff(), 0)) as client:
            return bool(client.ping())
    except redis.AuthenticationError:
        return False


def test_a_token_is_shown_once_and_known_by_its_id(world: World, admin: Caller, name: str) -> None:
    made = mint(world, admin, host=name)
    read = joining.read(made["token"])
    assert (read.id, read.host, read.url, read.pin) == (made["id"], name, "http://localhost", "")
    shown = world.get(f"/join-tokens/{made['id']}", admin.bearer).json
    assert shown == {field: value for field, value in made.items() if field != "token"}
    assert (shown["state"], shown["hosts"], shown["uses"]) == ("waiting", [], 1)
    assert made["id"] in [each["id"] for each in world.get("/join-tokens", admin.bearer).json["tokens"]]
    enveloped = world.get("/join-tokens", admin.key).json
    assert made["id"] in [each["id"] for each in enveloped["data"]]


def test_only_administrators_have_to_do_with_tokens(world: World, admin: Caller) -> None:
    made, caller = mint(world, admin), world.caller()
    assert problem(world.post("/join-tokens", caller.bearer, json={})) == (403, "forbidden")
    assert problem(world.get("/join-tokens", caller.bearer)) == (403, "forbidden")
    assert problem(world.get(f"/join-tokens/{made['id']}", caller.bearer)) == (403, "forbidden")
    assert problem(world.delete(f"/join-tokens/{made['id']}", caller.bearer)) == (403, "forbidden")
    assert problem(world.post("/join-tokens", json={})) == (401, "unauthorized")


BAD: dict[str, list[Any]] = {
    "host": [5, "", "Upper", "a b", "x" * 64, "-a", "a\n"],
    "replaces": [None, "yes", 1],
    "ttl_seconds": [None, "60", 59, -1, 30 * 86400 + 1, 2**40, 1.5],
    "uses": [None, "1", 0, -1, 1001, 2**40],
    "unknown": [1],
}


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in BAD.items() for value in values])
def test_a_token_s_fields(world: World, admin: Caller, field: str, value: Any) -> None:
    for dialect, headers in (("microvm", admin.bearer), ("vboxmcp", admin.key)):
        assert problem(world.post("/join-tokens", headers, json={field: value}))[0] == INVALID[dialect]


def test_what_does_not_go_together(world: World, admin: Caller, name: str) -> None:
    world.record.add_host(name)
    assert problem(world.post("/join-tokens", admin.bearer, json={"replaces": True})) == (400, "bad_request")
    assert problem(world.post("/join-tokens", admin.bearer, json={"host": "h", "uses": 2})) == (400, "bad_request")
    assert refused(world.post("/join-tokens", admin.bearer, json={"host": name})) == (409, "name_taken")
    unknown = world.post("/join-tokens", admin.bearer, json={"host": "nobody", "replaces": True})
    assert problem(unknown) == (404, "not_found")


def test_a_machine_joins_and_comes_to_redis_as_itself(world: World, admin: Caller, name: str) -> None:
    made = mint(world, admin, host=name)
    answer = join(world, made["token"])
    assert answer.status_code == 200, answer.text
    assert (answer.json["host"], answer.json["account"], answer.json["redis_ca"]) == (name, f"host.{name}", "")
    assert "@" not in answer.json["redis_url"]
    assert opens(world, name, "its own")
    shown = world.get(f"/join-tokens/{made['id']}", admin.bearer).json
    assert (shown["state"], shown["hosts"]) == ("used", [name])


def test_asking_again_with_the_same_secret_is_answered_again(world: World, admin: Caller, name: str) -> None:
    made = mint(world, admin, host=name)
    assert join(world, made["token"]).json == join(world, made["token"]).json
    assert world.get(f"/join-tokens/{made['id']}", admin.bearer).json["hosts"] == [name]
    second = join(world, made["token"], "another's")
    assert refused(second) == (409, "token_used")
    assert f"was used by host '{name}' at " in second.json["message"]
    assert opens(world, name, "its own")


def test_a_token_for_several_brings_no_name(world: World, admin: Caller, name: str) -> None:
    token = mint(world, admin, uses=2)["token"]
    assert join(world, token, host=name).json["host"] == name
    taken = join(world, token, "another's", host=name)
    assert refused(taken) == (409, "name_taken")
    assert "never seen" in taken.json["message"]
    assert join(world, token, "another's", host=f"{name}-2").status_code == 200
    assert refused(join(world, token, "a third's", host=f"{name}-3")) == (409, "token_used")
    with world.context.transaction() as session:
        accounts.expel(session, f"{name}-2")


def test_the_name_of_a_host_that_is_there_is_taken(world: World, admin: Caller, name: str) -> None:
    world.record.add_host(name)
    taken = join(world, mint(world, admin)["token"], host=name)
    assert refused(taken) == (409, "name_taken")
    assert "last seen at " in taken.json["message"]
    assert f"corral host rejoin {name}" in taken.json["message"]


def test_a_host_that_joins_again_is_believed_from_any_home(world: World, admin: Caller, name: str) -> None:
    world.record.add_host(name, home_id="the old one")
    assert join(world, mint(world, admin, host=name, replaces=True)["token"]).status_code == 200
    token = mint(world, admin, host=name, replaces=True)["token"]
    assert opens(world, name, "its own")
    assert join(world, token, "a new one").status_code == 200
    assert opens(world, name, "a new one")
    assert not opens(world, name, "its own")
    with world.context.reading() as session:
        assert session.get_one(Host, name).home_id == ""


def test_a_token_ends(world: World, admin: Caller, name: str) -> None:
    made = mint(world, admin, host=name)
    with world.context.transaction() as session:
        session.get_one(JoinToken, made["id"]).expires_at = now() - timedelta(seconds=1)
    expired = join(world, made["token"])
    assert refused(expired) == (409, "token_expired")
    assert f"expired at {now():%Y-%m-%d}" in expired.json["message"]
    assert world.get(f"/join-tokens/{made['id']}", admin.bearer).json["state"] == "expired"
    other = mint(world, admin, host=name)
    for _ in range(2):
        assert world.delete(f"/join-tokens/{other['id']}", admin.bearer).status_code == 204
    assert refused(join(world, other["token"])) == (409, "token_revoked")
    with world.context.reading() as session:
        assert session.get(HostIdentity, name) is None


WRONG = {
    "another secret": ({"secret": "x"}, 404, "token_unknown"),
    "another token": ({"token": "join-000000000000"}, 404, "token_unknown"),
    "a clock behind": ({"at": 1.0}, 400, "clock_skew"),
    "a clock ahead": ({"at": 4e9}, 400, "clock_skew"),
    "a release from the future": ({"version": "99.0.0"}, 400, "version"),
    "no release": ({"version": "x"}, 400, "version"),
}


@pytest.mark.parametrize(("changes", "status", "reason"), WRONG.values(), ids=WRONG.keys())
def test_what_is_refused(
    world: World, admin: Caller, name: str, changes: dict[str, Any], status: int, reason: str
) -> None:
    token = mint(world, admin, host=name)["token"]
    assert refused(join(world, token, **changes)) == (status, reason)
    assert join(world, token).status_code == 200  # the token is as it was


BAD_JOINS: dict[str, list[Any]] = {
    "token": [None, 5, "x" * 65],
    "secret": [None, 5, "x" * 65],
    "host": [None, 5, "x" * 64],
    "secret_sha256": [None, 5, "x" * 65],
    "version": [None, 5, "x" * 41],
    "at": [None, "x", []],
    "unknown": [1],
}


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field, values in BAD_JOINS.items() for value in values]
)
def test_a_join_s_fields(world: World, admin: Caller, field: str, value: Any) -> None:
    token = mint(world, admin)["token"]
    assert problem(join(world, token, **{field: value}))[0] == INVALID["microvm"]


@pytest.mark.parametrize("changes", [{"secret_sha256": "z" * 64}, {"host": "Not A Name"}, {"host": ""}])
def test_what_no_machine_says(world: World, admin: Caller, changes: dict[str, Any]) -> None:
    assert problem(join(world, mint(world, admin)["token"], **changes)) == (400, "bad_request")


def test_no_secret_is_in_the_audit_log(world: World, admin: Caller, name: str) -> None:
    token = mint(world, admin, host=name)["token"]
    assert join(world, token).status_code == 200
    entries = world.get("/security/audit-logs?limit=10", admin.bearer)
    assert {"join_create", "join_token_create"} <= {each["action_type"] for each in entries.json["logs"]}
    assert joining.read(token).secret not in entries.text
    assert token not in entries.text


def release_of(world: World, token: str, /, **changes: Any) -> Any:
    read = joining.read(token)
    return world.post("/join/release", json={"token": read.id, "secret": read.secret, **changes})


def test_who_is_to_join_gets_the_fleet_s_release(world: World, admin: Caller, name: str) -> None:
    made = mint(world, admin, host=name)
    for _ in range(2):
        answer = release_of(world, made["token"])
        assert (answer.status_code, answer.mimetype) == (200, "application/x-tar")
        assert int(answer.headers["Content-Length"]) == len(answer.data)
        with tarfile.open(fileobj=io.BytesIO(answer.data)) as tar:
            files = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
        lines = files.pop("requirements.txt").decode().splitlines()
        digests = [f"--hash=sha256:{hashlib.sha256(data).hexdigest()}" for data in files.values()]
        assert sorted(line.split()[1] for line in lines) == sorted(digests)
        assert f"corral=={VERSION}" in [line.split()[0] for line in lines]
        join(world, made["token"])  # and so who has joined may have it again


def test_nobody_else_gets_it(world: World, admin: Caller, name: str) -> None:
    made = mint(world, admin, host=name)
    assert refused(release_of(world, made["token"], secret="wrong")) == (404, "token_unknown")
    assert refused(release_of(world, made["token"], token="join-0")) == (404, "token_unknown")
    for field, value in (("token", 5), ("secret", None), ("token", "x" * 65), ("unknown", 1)):
        assert problem(release_of(world, made["token"], **{field: value}))[0] == INVALID["microvm"]
    assert world.delete(f"/join-tokens/{made['id']}", admin.bearer).status_code == 204
    assert refused(release_of(world, made["token"])) == (409, "token_revoked")


def test_the_script_is_there_for_anyone(world: World) -> None:
    answer = world.application.microvm.test_client().get("/join.sh")
    assert (answer.status_code, answer.mimetype) == (200, "text/x-shellscript")
    assert answer.data == (deploy.FOLDER / "join.sh").read_bytes()
