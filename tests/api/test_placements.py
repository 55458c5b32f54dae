"""What VMs ask of their hosts, in both dialects, and the explanation of where one would be placed."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select, update

from core.models import Event, Host
from core.models.base import now
from tests.api.world import REFUSED, VBOX_VM, Caller, World, problem

DIALECTS = ("microvm", "vboxmcp")
SIZES: dict[str, dict[str, Any]] = {
    "microvm": {"vcpus": 2, "memory_mb": 512},
    "vboxmcp": {**VBOX_VM, "cpus": 2, "memory_mb": 512},
}


@pytest.fixture(scope="module")
def caller(world: World) -> Caller:
    return world.caller()


@pytest.fixture
def label() -> str:
    """What only this test's hosts are labelled."""
    return f"l{secrets.token_hex(4)}"


@pytest.fixture(autouse=True)
def hosts(world: World, label: str) -> Iterator[tuple[str, str]]:
    """Two, of which the second has less memory."""
    names = (f"h{label}-1", f"h{label}-2")
    world.record.add_host(names[0], labels={label: "a"})
    world.record.add_host(names[1], labels={label: "b", "disk": "ssd"}, offered_memory_mb=4096)
    yield names
    with world.context.transaction() as session:
        session.execute(update(Host).where(Host.name.in_(names)).values(removed_at=now()))


def explain(world: World, caller: Caller, dialect: str, query: str = "", **changes: Any) -> Any:
    body = {**SIZES[dialect], "hypervisor": "fake", **changes}
    return world.post(f"/placements{query}", caller.headers(dialect), json=body)


def of(answer: Any) -> list[Any]:
    assert answer.status_code == 200, answer.text
    return list(answer.json["placements"] if "placements" in answer.json else answer.json["data"])


@pytest.mark.parametrize("dialect", DIALECTS)
def test_each_host_is_explained(world: World, caller: Caller, label: str, hosts: tuple[str, str], dialect: str) -> None:
    asked = {"require": [label], "prefer": ["disk=ssd", f"{label}=b"]}
    found = of(explain(world, caller, dialect, placement=asked))
    assert [each["host"] for each in found if each["fits"]] == [hosts[1], hosts[0]]
    assert found[0] == {
        "host": hosts[1],
        "fits": True,
        "hypervisor": "fake",
        "preferred": ["disk=ssd", f"{label}=b"],
        "free": {"vcpus": 100_000, "memory_mb": 4096, "disk_gb": 10_000_000},
        "reasons": [],
    }
    other = next(each for each in found if each["host"] == "host-a")
    assert (other["fits"], other["hypervisor"], other["preferred"]) == (False, None, [])
    assert other["reasons"] == [{"code": "label", "message": f"is not labelled {label}"}]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_vm_goes_where_that_says(
    world: World, caller: Caller, label: str, hosts: tuple[str, str], dialect: str
) -> None:
    asked = {"require": [f" {label}"], "apart_from_group": f"g{secrets.token_hex(3)}", "strategy": "pack"}
    for host in (hosts[1], hosts[0]):
        assert of(explain(world, caller, dialect, placement=asked))[0]["host"] == host
        name = f"vm{secrets.token_hex(4)}"
        body = {**SIZES[dialect], "hypervisor": "fake", "name": name, "placement": asked}
        headers = caller.headers(dialect) | {"Prefer": "respond-async"}
        assert world.post("/vms", headers, json=body).status_code == 202
        shown = world.get(f"/vms/{name}", caller.headers(dialect)).json
        shown = shown.get("data", shown)
        assert shown["host"] == host
        assert shown["placement"] == {"prefer": [], **asked, "require": [label]}
    reasons = [each["reasons"] for each in of(explain(world, caller, dialect, placement=asked))]
    assert all(reasons)
    full = world.post("/vms", caller.headers(dialect), json={**body, "name": "one-too-many"})
    assert problem(full) == (409, "conflict" if dialect == "microvm" else "insufficient_resources")
    assert "has another VM of group" in full.text
    # Groups are their owner's: another's VMs stand in nobody's way.
    assert of(explain(world, world.caller(), dialect, placement=asked))[0]["fits"]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_who_asks_nothing_is_placed_as_ever(world: World, caller: Caller, dialect: str) -> None:
    vm = world.add_vm(caller)
    shown = world.get(f"/vms/{vm}", caller.headers(dialect)).json
    nothing: Any = {"require": [], "prefer": [], "apart_from_group": None, "strategy": "spread"}
    assert shown.get("data", shown)["placement"] == nothing
    assert of(explain(world, caller, dialect))[0]["fits"]


def test_explanations_come_in_pages(world: World, caller: Caller, label: str, hosts: tuple[str, str]) -> None:
    whole = of(explain(world, caller, "microvm", placement={"require": [label]}))
    page = explain(world, caller, "microvm", "?limit=1&offset=1", placement={"require": [label]})
    assert page.json["placements"] == whole[1:2]
    assert (page.json["total"], page.json["limit"], page.json["offset"]) == (len(whole), 1, 1)


def test_asking_changes_nothing_and_may_be_done_by_who_only_reads(world: World, caller: Caller) -> None:
    reader, headers = world.caller(access="read"), caller.bearer
    before = world.get("/security/audit-logs?limit=1", world.caller("admin").bearer).json["total"]
    assert of(world.post("/placements", reader.key, json=VBOX_VM | {"hypervisor": "fake"}))
    assert of(explain(world, caller, "microvm", name="web"))
    assert '"web"' not in world.get("/vms", headers).text
    assert (
        world.get("/security/audit-logs?limit=1", world.caller("admin").bearer).json["total"] == before + 1
    )  # a login
    assert problem(world.post("/placements", json={}))[0] == 401


BAD: list[tuple[Any, str]] = [
    (5, "placement"),
    ([], "placement"),
    (None, "placement"),
    ({"require": "zone=a"}, "placement.require"),
    ({"require": [5]}, "placement.require.0"),
    ({"require": [None]}, "placement.require.0"),
    ({"require": ["zone=a", ""]}, "placement.require.1"),
    ({"require": ["zone=a,b"]}, "placement.require.0"),
    ({"require": ["a" * 5000]}, "placement.require.0"),
    ({"require": ["a"] * 65}, "placement.require"),
    ({"prefer": ["zone>a"]}, "placement.prefer.0"),
    ({"prefer": ["z\x00"]}, "placement.prefer.0"),
    ({"apart_from_group": ""}, "placement.apart_from_group"),
    ({"apart_from_group": "a b"}, "placement.apart_from_group"),
    ({"apart_from_group": "x" * 64}, "placement.apart_from_group"),
    ({"apart_from_group": 5}, "placement.apart_from_group"),
    ({"strategy": "random"}, "placement.strategy"),
    ({"strategy": None}, "placement.strategy"),
    ({"unknown": 1}, "placement.unknown"),
]


@pytest.mark.parametrize(("placement", "field"), BAD)
def test_what_can_t_be_asked(world: World, caller: Caller, placement: Any, field: str) -> None:
    for dialect in DIALECTS:
        for path in ("/placements", "/vms"):
            body = {**SIZES[dialect], "name": "never", "placement": placement}
            answer = world.post(path, caller.headers(dialect), json=body)
            assert problem(answer) == REFUSED[dialect]
            assert f'"{field}"' in answer.text


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_no_host_could_have_is_refused(world: World, caller: Caller, dialect: str) -> None:
    assert "there is no host 'nowhere'" in explain(world, caller, dialect, host="nowhere").text
    unknown = explain(world, caller, dialect, template="no-such-image")
    assert unknown.status_code == 400
    assert "there is no image" in unknown.text


def overcommit(world: World, caller: Caller, host: str, **ratios: Any) -> Any:
    return world.request("PATCH", f"/hosts/{host}", caller.bearer, json={"overcommit": ratios})


def test_room_is_promised_as_often_as_administrators_say(world: World, caller: Caller, hosts: tuple[str, str]) -> None:
    admin = world.caller("admin")
    with world.context.transaction() as session:
        session.execute(update(Host).where(Host.name == hosts[1]).values(reserved_memory_mb=4096))
    assert not of(explain(world, caller, "microvm", host=hosts[1]))[0]["fits"]
    changed = overcommit(world, admin, hosts[1], memory_mb=1.5, vcpus=2)
    assert changed.status_code == 200, changed.text
    shown = world.get(f"/hosts/{hosts[1]}", caller.bearer).json
    assert shown == changed.json | {"orphans": []}
    assert shown["overcommit"] == {"vcpus": 2.0, "memory_mb": 1.5, "disk_gb": 1.0}
    assert (shown["offered"]["memory_mb"], shown["capacity"]["memory_mb"], shown["free"]["memory_mb"]) == (
        4096,
        6144,
        2048,
    )
    assert of(explain(world, caller, "microvm", host=hosts[1]))[0]["fits"]
    overcommit(world, admin, hosts[1], memory_mb=1.5)  # which changes nothing
    with world.context.reading() as session:
        told = session.scalars(select(Event.data).where(Event.type == "host_changed", Event.host_name == hosts[1]))
        assert list(told) == [{"host": hosts[1], "overcommit": shown["overcommit"]}]
    assert problem(overcommit(world, caller, hosts[1], vcpus=2)) == (403, "forbidden")


@pytest.mark.parametrize("ratio", ["2", None, True, 0, -1, 0.09, 64.1, 1e308, float("nan"), float("inf"), [], {}])
def test_what_is_no_ratio(world: World, hosts: tuple[str, str], ratio: Any) -> None:
    answer = overcommit(world, world.caller("admin"), hosts[0], vcpus=ratio)
    assert problem(answer)[0] == 422
    assert world.get(f"/hosts/{hosts[0]}", world.caller().bearer).json["overcommit"]["vcpus"] == 1.0
