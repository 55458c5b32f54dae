"""Rate limits: so many a minute and an hour for each user, and what is free of them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cli.fleet.redis import Redis
from core.settings import Settings
from tests.api.world import World, problem

HEADERS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")


def test_every_answer_says_what_is_left_until_nothing_is(limited: World) -> None:
    caller = limited.caller()
    answers = [limited.get("/vms", caller.bearer) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert [answer.headers["X-RateLimit-Remaining"] for answer in answers[:5]] == ["4", "3", "2", "1", "0"]
    assert all(answer.headers["X-RateLimit-Limit"] == "5" for answer in answers)
    assert all(0 < int(answer.headers["X-RateLimit-Reset"]) - time.time() <= 120 for answer in answers)
    assert all("Retry-After" not in answer.headers for answer in answers[:5])


def test_too_many_is_told_in_each_shape_with_when_to_go_on(limited: World) -> None:
    caller = limited.caller()
    for _ in range(5):
        limited.get("/vms", caller.key)
    first, second = limited.get("/vms", caller.bearer), limited.get("/vms", caller.key)
    assert problem(first) == problem(second) == (429, "rate_limit_exceeded")
    seconds = first.json["retry_after_seconds"]
    assert 0 < seconds <= 120
    assert first.headers["Retry-After"] == str(seconds)
    assert second.json["error"]["details"]["retry_after_seconds"] > 0


def test_users_do_not_use_up_each_others(limited: World) -> None:
    one, other = limited.caller(), limited.caller()
    assert [limited.get("/vms", one.key).status_code for _ in range(6)][-1] == 429
    assert limited.get("/vms", other.key).status_code == 200


def test_strangers_and_wrong_paths_are_counted_too(limited: World) -> None:
    answers = [limited.get("/nowhere", {"Authorization": "Bearer x"}) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [404] * 5 + [429]
    assert all(header in answer.headers for answer in answers for header in HEADERS)
    assert problem(limited.get("/vms"))[0] == 429


def test_health_and_the_documents_are_free(limited: World) -> None:
    for _ in range(7):
        assert limited.get("/health").status_code == 200
    caller = limited.caller()
    assert limited.get("/vms", caller.key).headers["X-RateLimit-Remaining"] == "4"


@pytest.fixture
def without_redis(world: World, settings: Settings, tmp_path: Path) -> Iterator[tuple[World, Redis]]:
    """The API with a Redis of its own, which is stopped."""
    redis = Redis(tmp_path)
    redis.start()
    own = World(replace(settings, redis_url=redis.url, rate_burst=5, rate_hourly=100))
    yield own, redis
    own.close()
    redis.stop()


def test_without_redis_the_api_answers_and_still_counts(without_redis: tuple[World, Redis]) -> None:
    world, redis = without_redis
    caller = world.caller()
    assert world.get("/vms", caller.key).status_code == 200
    redis.kill()
    answers = [world.get("/vms", caller.key) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]


def test_without_redis_what_changes_is_accepted(without_redis: tuple[World, Redis]) -> None:
    world, redis = without_redis
    caller = world.caller()
    redis.kill()
    answer = world.post("/vms", caller.bearer | {"Prefer": "respond-async"}, json={"name": "web", "host": "host-a"})
    assert answer.status_code == 202
