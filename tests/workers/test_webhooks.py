"""Webhooks from a worker's side: at least once, in order for each VM, signed, and nobody waits for another's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from core.models.base import now
from core.services import events, users
from core.services.context import Actor
from core.services.webhooks import deliveries, hooks, queue
from core.settings import Settings
from tests.support.receivers import Received, Sent, receiver
from tests.workers.conftest import Workers
from tests.workers.delivering import Hooks, signature
from workers import webhooks
from workers.context import WorkerContext


@pytest.fixture
def made(workers: Workers) -> Hooks:
    return Hooks(workers)


@pytest.fixture
def received() -> Iterator[Received]:
    with receiver() as listening:
        yield listening


def test_an_event_is_told_with_itssignature(made: Hooks, received: Received) -> None:
    hook = made.create(f"{received.url}/hook?of=fleet")
    seq = made.happen("vm-1", old_status="running", new_status="stopped")
    made.deliver()
    (sent,) = received.sent
    assert sent.path == "/hook?of=fleet"
    assert sent.body["type"] == "status_change"
    assert sent.body["data"] == {
        "seq": seq,
        "vm_id": "vm-1",
        "vm_name": "name-of-vm-1",
        "operation_id": None,
        "host_name": "host-a",
        "details": {"old_status": "running", "new_status": "stopped"},
    }
    assert sent.headers["webhook-id"] == f"{hook}.{seq}"
    assert sent.headers["webhook-signature"] == signature(made.hook(hook).secret, sent)
    assert made.states() == ["delivered"]


def test_a_signature_is_that_of_the_specification() -> None:
    """The example of the reference libraries of https://www.standardwebhooks.com."""
    signed = webhooks.signature(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "1614265330",
        b'{"test": 2432232314}',
    )
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_only_its_owners_events_of_its_types_from_now_on(made: Hooks, received: Received) -> None:
    made.happen("vm-1")
    with made.context.transaction() as session:
        bob = users.add(session, "bob", "a good password", "user").id
    made.create(received.url, "vm_deleted", "host_offline")
    made.happen("vm-1")
    made.happen("vm-2", "vm_deleted", owner=bob)
    mine = made.happen("vm-3", "vm_deleted")
    with made.context.transaction() as session:
        events.of_host(session, "host_offline", "host-a", {})
    made.deliver()
    assert received.seqs() == [mine, mine + 1]


def test_events_of_a_vm_come_in_order_whatever_fails_and_others_do_not_wait(made: Hooks, received: Received) -> None:
    made.create(received.url)
    received.status = lambda sent: 400 if sent.body["data"]["vm_id"] == "vm-1" else 200
    first, other, second = made.happen("vm-1"), made.happen("vm-2"), made.happen("vm-1")
    made.deliver()
    assert received.seqs() == [first, other]
    made.deliver()
    assert received.seqs() == [first, other], "it is tried again before its time"
    received.status = lambda _: 200
    made.later(queue.PAUSES[0].total_seconds())
    made.deliver()
    assert received.seqs() == [first, other, first, second]
    assert made.states() == ["delivered"] * 3


def test_a_receiver_that_is_down_is_left_alone_for_longer_and_longer(made: Hooks, received: Received) -> None:
    hook = made.create(received.url)
    received.status = lambda _: 503
    for number in range(3):
        made.happen(f"vm-{number}")
    made.deliver()
    assert len(received.sent) == 1, "the others would have fared no better"
    held = made.hook(hook)
    assert held.failing_since is not None
    assert held.held_until - now() < timedelta(minutes=1)
    _failing_since(made, timedelta(minutes=2))
    made.later(queue.LONGEST_HOLD.total_seconds())
    made.deliver()
    assert made.hook(hook).held_until - now() > timedelta(minutes=1)
    received.status = lambda _: 200
    made.later()
    made.deliver()
    assert made.states() == ["delivered"] * 3
    assert made.hook(hook).failing_since is None


def test_what_is_never_accepted_fails_in_the_end_and_the_next_has_its_turn(made: Hooks, received: Received) -> None:
    made.create(received.url)
    first, second = made.happen("vm-1"), made.happen("vm-1")
    received.status = lambda sent: 422 if sent.body["data"]["seq"] == first else 200
    for _ in range(len(queue.PAUSES) + 1):
        made.deliver()
        made.later()
    made.deliver()
    assert received.seqs() == [first] * (len(queue.PAUSES) + 1) + [second]
    assert made.states() == ["failed", "delivered"]


def test_one_that_answers_gone_or_fails_for_days_is_disabled(made: Hooks, received: Received) -> None:
    gone, failing = made.create(f"{received.url}/gone"), made.create(f"{received.url}/failing")
    received.status = lambda sent: 410 if sent.path == "/gone" else 500
    made.happen("vm-1")
    made.deliver()
    _failing_since(made, queue.GIVEN_UP_AFTER)
    made.later()
    made.deliver()
    assert "410" in made.hook(gone).disabled_reason
    assert "5 days" in made.hook(failing).disabled_reason
    count = len(received.sent)
    made.later()
    made.deliver()
    assert len(received.sent) == count
    received.status = lambda _: 200
    with made.context.transaction() as session:
        hooks.change(session, made.actor, gone, enabled=True)
    made.deliver()
    assert len(received.sent) == count + 1


def test_redirects_are_no_delivery(made: Hooks, received: Received) -> None:
    made.create(received.url)
    received.status = lambda _: 302
    made.happen("vm-1")
    made.deliver()
    assert made.states() == ["waiting"]
    assert len(received.sent) == 1


def test_what_a_dead_worker_had_is_sent_again_with_the_same_id(made: Hooks, received: Received) -> None:
    hook = made.create(received.url)
    seq = made.happen("vm-1")
    with made.context.transaction() as session:
        queue.fan_out(session)
        assert queue.take(session) == hook
    with made.context.transaction() as session:
        assert queue.following(session, hook) is not None  # and then it died
    assert webhooks.deliver_next(made.context) is None, "it is still its own"
    made.later(queue.LEASE.total_seconds())
    made.deliver()
    assert [each.headers["webhook-id"] for each in received.sent] == [f"{hook}.{seq}"]


def test_two_workers_never_deliver_to_one_user_at_once(made: Hooks, received: Received) -> None:
    made.create(f"{received.url}/1"), made.create(f"{received.url}/2")
    made.happen("vm-1")
    other = made.workers.another()

    def status(_: Sent) -> int:
        with other.transaction() as session:
            taken.append(queue.take(session))
        return 200

    taken: list[str | None] = []
    received.status = status
    assert made.deliver() == 2
    assert taken == [None, None]


def test_each_webhook_has_its_turn(made: Hooks, received: Received, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "TURN_SECONDS", 0.0)  # one delivery a turn
    with made.context.transaction() as session:
        bob = users.add(session, "bob", "a good password", "user")
        theirs = Actor(bob.id, bob.username, bob.role)
    made.create(f"{received.url}/ann"), made.create(f"{received.url}/bob", actor=theirs)
    for number in range(3):
        made.happen(f"vm-{number}")
        made.happen(f"vm-{number + 10}", owner=theirs.user_id)
    made.deliver()
    paths = [each.path for each in received.sent]
    assert paths in (["/ann", "/bob"] * 3, ["/bob", "/ann"] * 3)


def test_a_rotated_secret_signs_with_both_for_a_day(made: Hooks, received: Received) -> None:
    hook = made.create(received.url)
    former = made.hook(hook).secret
    with made.context.transaction() as session:
        hooks.rotate(session, made.actor, hook)
    made.happen("vm-1")
    made.deliver()
    (sent,) = received.sent
    both = [signature(made.hook(hook).secret, sent), signature(former, sent)]
    assert sent.headers["webhook-signature"].split(" ") == both
    with made.context.engine.begin() as connection:
        connection.execute(text("UPDATE webhooks SET former_until = now()"))
    made.happen("vm-1")
    made.deliver()
    assert received.sent[-1].headers["webhook-signature"] == signature(made.hook(hook).secret, received.sent[-1])


def test_what_was_delivered_can_be_sent_again_and_tried_out(made: Hooks, received: Received) -> None:
    hook = made.create(received.url)
    seq = made.happen("vm-1")
    made.deliver()
    with made.context.transaction() as session:
        delivery = int(made.workers.scalar("SELECT id FROM webhook_deliveries"))
        deliveries.resend(session, made.actor, hook, delivery)
        deliveries.test(session, made.actor, hook)
    made.deliver()
    assert [each.body["type"] for each in received.sent] == ["status_change", "status_change", "webhook_test"]
    assert [each.headers["webhook-id"] for each in received.sent[:2]] == [f"{hook}.{seq}"] * 2


def test_many_that_wait_hold_the_next_back_and_lose_none(
    made: Hooks, received: Received, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "MOST_WAITING", 3)
    made.create(received.url)
    numbers = [made.happen(f"vm-{number}") for number in range(8)]
    with made.context.transaction() as session:
        assert queue.fan_out(session) == 3
    with made.context.transaction() as session:
        assert queue.fan_out(session) == 0
    for _ in range(4):
        made.deliver()
    assert received.seqs() == numbers


def test_old_deliveries_are_forgotten(made: Hooks, received: Received) -> None:
    made.create(received.url)
    made.happen("vm-1")
    made.deliver()
    with made.context.engine.begin() as connection:
        connection.execute(text("UPDATE webhook_deliveries SET ended_at = ended_at - interval '8 days'"))
    made.happen("vm-1")
    with made.context.transaction() as session:
        assert queue.sweep(session) == 1
    made.deliver()
    assert made.states() == ["delivered"]


def test_private_addresses_are_not_asked(workers: Workers, received: Received) -> None:
    assert Settings().webhook_networks == ()
    made = Hooks(workers)
    made.context = workers_without_networks(workers)
    made.create(received.url), made.create(received.url.replace("127.0.0.1", "localhost"))
    made.happen("vm-1")
    made.deliver()
    assert received.sent == []
    assert "may not reach" in workers.scalar("SELECT last_error FROM webhook_deliveries LIMIT 1")


def workers_without_networks(workers: Workers) -> WorkerContext:
    workers.settings = replace(workers.settings, webhook_networks=())
    return workers.another()


def _failing_since(made: Hooks, passed: timedelta) -> None:
    with made.context.engine.begin() as connection:
        connection.execute(text("UPDATE webhooks SET failing_since = failing_since - :p"), {"p": passed})
