"""GET /vm-list: all VMs of a large fleet in few requests."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from core.models import Vm
from core.models.base import now
from tests.api.world import Caller, World, problem

DIALECTS = ("microvm", "vboxmcp")
PAST = timedelta(hours=1)


def part(world: World, who: Caller, dialect: str, query: str) -> Any:
    answer = world.get(f"/vm-list{query}", who.headers(dialect))
    assert answer.status_code == 200, answer.text
    return answer.json["data"] if dialect == "vboxmcp" else answer.json


def whole(world: World, who: Caller, dialect: str, limit: int) -> list[list[str]]:
    """The names, page by page."""
    pages, cursor = [], ""
    while True:
        page = part(world, who, dialect, f"?limit={limit}{cursor}")
        pages.append([vm["name"] for vm in page["vms"]])
        if page["next"] is None:
            return pages
        cursor = f"&after={page['next']}"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_pages_neither_miss_nor_repeat(world: World, dialect: str) -> None:
    owner, moment = world.caller(), now() - PAST
    ids = sorted(world.add_vm(owner, name=f"vm-{number}", created_at=moment) for number in range(4))
    world.add_vm(world.caller(), name="of-another")
    last = world.add_vm(owner, name="last")
    assert [len(page) for page in whole(world, owner, dialect, 2)] == [2, 2, 1]
    shown = part(world, owner, dialect, "")
    assert ([vm["id"] for vm in shown["vms"]], shown["next"]) == ([*ids, last], None)
    listed = world.get("/vms?limit=100", owner.headers(dialect)).json
    assert shown["vms"] == listed["data" if dialect == "vboxmcp" else "vms"]
    names = [name for page in whole(world, world.caller("admin"), dialect, 1000) for name in page]
    assert {"of-another", "vm-0", "last"} <= set(names)


def test_what_is_deleted_meanwhile_moves_no_other(world: World) -> None:
    owner, moment = world.caller(), now() - PAST
    ids = sorted(world.add_vm(owner, name=f"kept-{number}", created_at=moment) for number in range(3))
    first = part(world, owner, "microvm", "?limit=1")
    with world.context.transaction() as session:
        session.get_one(Vm, ids[0]).deleted_at = now()
    assert [vm["id"] for vm in part(world, owner, "microvm", f"?after={first['next']}")["vms"]] == ids[1:]


def test_nothing_is_an_empty_list(world: World) -> None:
    assert part(world, world.caller(), "microvm", "") == {"vms": [], "next": None}


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=1001", "limit=x", "after=", "after=1", "after=.x", "after=1.'", "after=" + "9" * 18 + ".a"],
)
def test_what_is_no_cursor_is_refused(world: World, dialect: str, query: str) -> None:
    expected = (422, "validation_error") if dialect == "microvm" else (400, "invalid_request")
    assert problem(world.get(f"/vm-list?{query}", world.caller().headers(dialect))) == expected
    last_year = world.get(f"/vm-list?after={'9' * 17}.vm", world.caller().headers(dialect))
    assert last_year.status_code == 200
