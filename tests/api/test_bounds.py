"""What is free of rates is bounded otherwise: waits, sockets that have not said who calls, questions for health."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from api.web.bounded_checks import Once
from api.web.places import Places
from core.contract.errors import TooMany
from tests.api.world import VBOX_VM, World, problem

HEADERS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")


def test_places_are_a_users_own_and_come_back() -> None:
    places = Places(2, "waits")
    full = pytest.raises(TooMany, match="2 waits")
    with places.one("ann"), places.one("ann"), places.one("bob"), full, places.one("ann"):
        pass
    with places.one("ann"), places.one("ann"):
        pass


def test_many_who_ask_for_the_same_have_one_look() -> None:
    once, looks, go_on = Once(), [], threading.Event()

    def look() -> int:
        looks.append(1)
        go_on.wait(10)
        return len(looks)

    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(once.ask, look) for _ in range(8)]
        while len(looks) == 0:
            pass
        go_on.set()
        assert {each.result() for each in asked} <= {1, 2}
    with pytest.raises(ZeroDivisionError):
        once.ask(lambda: 1 // 0)
    assert once.ask(lambda: 7) == 7


def test_status_tells_what_is_left_and_counts(limited: World) -> None:
    caller = limited.caller()
    answers = [limited.get("/status", caller.headers(dialect)) for dialect in ("microvm", "vboxmcp")]
    for answer in answers:
        assert all(name in answer.headers for name in HEADERS)
    assert [answer.headers["X-RateLimit-Remaining"] for answer in answers] == ["4", "3"]
    for _ in range(3):
        limited.get("/status", caller.key)
    refused = limited.get("/status", caller.key)
    assert problem(refused) == (429, "rate_limit_exceeded")
    assert refused.headers["Retry-After"]
    strangers = [limited.get("/status", {"X-API-Key": "x"}).status_code for _ in range(5)]
    assert strangers == [401] * 4 + [429]  # the login that made the caller was a stranger's too


def test_a_wait_that_hardly_waits_is_a_request(limited: World) -> None:
    limited.record.add_host(f"host-{id(limited)}")
    caller = limited.caller()
    begun = limited.post("/vms", caller.key, json=VBOX_VM | {"name": "held"})
    path = f"/operations/{begun.headers['X-Operation-Id']}/wait"
    with limited.context.waits.one(caller.actor.user_id):
        assert limited.get(f"{path}?timeout=1", caller.key).status_code == 202
    assert [limited.get(f"{path}?timeout=0", caller.key).status_code for _ in range(5)] == [202] * 4 + [429]
