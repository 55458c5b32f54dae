"""A host's secret is changed while its agent works, whatever is killed or lost meanwhile."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
import redis as library

from agent.broker.secret import FILE
from agent.broker.secret import ROTATION as BEGUN
from core.contract import channels
from core.contract.errors import Conflict, Forbidden, NotFound
from core.services import cordons, fences
from core.services.context import SYSTEM
from core.services.identities import accounts, rotations
from core.services.lost import remove_host
from tests.support.accounts import SECRET
from tests.support.waiting import until
from tests.workers.conftest import Workers
from tests.workers.joined import FIRST, Joined
from tests.workers.test_accounts import accounts_of, at, opens
from workers import rotating, sweeping

HOUR = timedelta(hours=1)


@pytest.fixture
def host(workers: Workers, tmp_path: Path) -> Iterator[Joined]:
    """A host that is online, of one worker."""
    made = Joined(tmp_path, workers)
    workers.receiver()
    made.start()
    until(lambda: workers.joined(made.name))
    yield made
    if made.alive():
        made.kill()
    made.redis.close()
    accounts.revoke(workers.redis, made.name)


def sweep(workers: Workers, *, oldest: timedelta | None = None, overlap: timedelta = HOUR) -> int:
    with workers.context.transaction() as session:
        return rotations.sweep(session, oldest, overlap)


def test_nothing_is_restarted_and_the_former_secret_opens_nothing(host: Joined, workers: Workers) -> None:
    pid = host.process and host.process.pid
    with at(workers, host.name, SECRET) as thief:
        thief.ping()
        host.begins()
        assert "1 of 1" in rotating.rotate(workers.context)
        with pytest.raises(library.ConnectionError):
            thief.ping()
    assert not opens(workers, host.name, SECRET)
    assert opens(workers, host.name, host.kept())
    host.works()
    assert host.alive()
    assert (host.process and host.process.pid) == pid
    for file in (FILE, BEGUN):
        assert stat.S_IMODE((host.folder / file).stat().st_mode) == 0o600
    told = host.identity()
    assert (told.rotation, told.next_sha256, told.rotation_problem, told.rotating_since) == (None,) * 4
    assert told.secret_sha256 != FIRST
    assert host.events() == ["rotated"]
    audit = "SELECT action_type, resource_id, result FROM audit_entries ORDER BY seq DESC LIMIT 1"
    assert tuple(workers.row(audit)) == ("host_secret_rotate", host.name, "success")


def test_no_secret_is_where_it_does_not_belong(
    host: Joined, workers: Workers, caplog: pytest.LogCaptureFixture
) -> None:
    with workers.redis.monitor() as monitor:  # type: ignore[no-untyped-call]
        host.begins()
        rotating.rotate(workers.context)
        said: list[str] = []
        workers.redis.echo("enough")
        while not said or "enough" not in said[-1]:
            said.append(monitor.next_command()["command"])
    made = host.kept()
    in_clear = [each for each in said if accounts.digest(made) in each and not each.startswith("ACL SETUSER")]
    assert in_clear == [], "what the secret is known by is sealed"
    told = workers.scalar("SELECT string_agg(data::text, ' ') FROM events")
    for text in (*said, host.log(), caplog.text, told):
        assert made not in text
        assert SECRET not in text


STEPS = ("begun", "made", "offered", "used", "finished")


def _to(host: Joined, step: str) -> None:
    """That far, and then the worker is no more."""
    rotation = host.begins()
    if step == "begun":
        return
    made = host.makes(rotation)
    if step == "made":
        return
    host.offers(rotation, made)
    if step == "offered":
        return
    host.uses(rotation, made)
    if step == "finished":
        host.finishes(rotation, made)


@pytest.mark.parametrize("killed", ["worker", "agent", "both"])
@pytest.mark.parametrize("step", STEPS)
def test_killed_at_any_step(host: Joined, workers: Workers, step: str, killed: str) -> None:
    _to(host, step)
    context = workers.another() if killed != "agent" else workers.context
    if killed != "worker":
        host.kill()
        host.start()
    host.goes_on(context)
    assert host.events() == ["rotated"]
    assert not opens(workers, host.name, SECRET)
    host.kill()
    host.start()
    host.works()


@pytest.mark.parametrize("step", ["offered", "used"])
def test_a_host_that_is_away_for_longer_than_both_are_valid(host: Joined, workers: Workers, step: str) -> None:
    host.begins()
    host.goes_on(workers.context)
    former = host.identity().secret_sha256  # which is not the one that it has joined with
    _to(host, step)
    host.kill()
    assert (len(host.valid()), sweep(workers)) == (2, 0)
    assert sweep(workers, overlap=timedelta()) == 1
    assert host.valid() == [former]
    assert "did not use its next secret" in host.identity().rotation_problem
    host.start()
    host.goes_on(workers.context)
    assert host.events() == ["rotated", "withdrawn", "rotated"]
    host.works()
    assert not opens(workers, host.name, SECRET)


def test_one_that_is_offline_has_it_when_it_comes_back(host: Joined, workers: Workers) -> None:
    host.kill()
    with workers.context.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE hosts SET offline_since = now(), last_seen_at = now() - interval '1 hour'")
    host.begins()
    assert rotating.rotate(workers.context) == "nothing to do"
    host.start()
    until(lambda: sweeping.sweep(workers.context) and not workers.scalar("SELECT offline_since FROM hosts"))
    host.goes_on(workers.context)
    host.works()


def test_what_the_workers_could_not_tell_redis_the_next_round_does(
    host: Joined, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    rotation = host.begins()
    made = host.makes(rotation)
    host.offers(rotation, made)
    host.uses(rotation, made)
    with at(workers, host.name, SECRET) as thief:
        thief.ping()
        with monkeypatch.context() as lost:
            lost.setattr(accounts, "grant", lambda *_, **__: None)
            host.finishes(rotation, made)
        assert len(host.valid()) == 2
        thief.ping()
        workers.another().apply_accounts()
        with pytest.raises(library.ConnectionError):
            thief.ping()
    host.works()


def test_twice_at_once_is_once(host: Joined, workers: Workers) -> None:
    with ThreadPoolExecutor(4) as many:
        assert len({found.id for found in many.map(lambda _: host.begins(), range(4))}) == 1
        contexts = [workers.another() for _ in range(4)]
        assert sum("1 of 1" in said for said in many.map(rotating.rotate, contexts)) == 1
    assert host.events() == ["rotated"]
    host.works()


def test_two_workers_at_one_step_settle_on_one_secret(host: Joined, workers: Workers) -> None:
    """One that stood still, and does what another has done meanwhile."""
    rotation = host.begins()
    made = host.makes(rotation)
    assert host.makes(rotation) == made
    host.goes_on(workers.another())
    host.offers(rotation, made)
    host.finishes(rotation, made)
    assert host.events() == ["rotated"]
    host.works()


def test_a_second_rotation_makes_another_secret(host: Joined, workers: Workers) -> None:
    known = {FIRST}
    for _ in range(3):
        host.begins()
        host.goes_on(workers.context)
        known.add(host.identity().secret_sha256)
    assert len(known) == 4
    host.works()


def test_a_removed_host_is_not_let_in_by_its_rotation(host: Joined, workers: Workers) -> None:
    rotation = host.begins()
    made = host.makes(rotation)
    host.offers(rotation, made)
    with workers.context.transaction() as session:
        remove_host(session, SYSTEM, host.name, force=True)
    host.finishes(rotation, made)
    assert rotating.rotate(workers.context) == "nothing to do"
    sweeping.sweep(workers.context)
    assert channels.account(host.name) not in accounts_of(workers)
    with workers.context.transaction() as session, pytest.raises(NotFound):
        rotations.begin(session, SYSTEM, host.name)


def test_a_host_that_joins_again_meanwhile_has_the_secret_of_that(host: Joined, workers: Workers) -> None:
    rotation = host.begins()
    made = host.makes(rotation)
    host.offers(rotation, made)
    with workers.context.transaction() as session:
        accounts.admit(session, host.name, accounts.digest("of the second join"))
    host.finishes(rotation, made)
    assert host.valid() == [accounts.digest("of the second join")]
    assert (host.identity().rotation, host.identity().next_sha256) == (None, None)


def test_a_fenced_host_s_rotation_waits(host: Joined, workers: Workers) -> None:
    _to(host, "used")
    with workers.context.transaction() as session:
        fences.fence(session, SYSTEM, host.name, force=True)
    assert len(host.valid()) == 2, "it may come with either, to ask whether it is fenced"
    assert rotating.rotate(workers.context) == "nothing to do"
    assert sweep(workers, overlap=timedelta()) == 1
    assert host.valid() == [FIRST]
    with workers.context.transaction() as session, pytest.raises(Conflict, match="is fenced"):
        rotations.begin(session, SYSTEM, host.name)
    assert host.process is not None
    host.process.wait(30)
    with workers.context.transaction() as session:
        cordons.activate(session, SYSTEM, host.name)
    host.start()
    until(lambda: sweeping.sweep(workers.context) and not workers.scalar("SELECT offline_since FROM hosts"))
    host.goes_on(workers.context)
    host.works()


def test_the_old_ones_are_changed_by_themselves(host: Joined, workers: Workers) -> None:
    days = timedelta(days=90)
    assert sweep(workers, oldest=days) == 0
    with workers.context.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE host_identities SET secret_changed_at = now() - interval '91 days'")
    assert sweep(workers, oldest=None) == 0
    assert sweep(workers, oldest=days) == 1
    assert sweep(workers, oldest=days) == 0
    host.goes_on(workers.context)
    assert workers.scalar("SELECT data ->> 'by' FROM events WHERE type = 'host_secret'") is None
    assert sweep(workers, oldest=days) == 0
    host.works()


def test_joining_again_with_the_same_secret_changes_nothing(host: Joined, workers: Workers) -> None:
    """As `corral up` does with the hosts of its own."""
    host.begins()
    before = host.identity()
    with workers.context.transaction() as session:
        accounts.admit(session, host.name, FIRST)
    after = host.identity()
    kept = ("rotation", "rotating_since", "secret_sha256", "secret_changed_at")
    assert [getattr(after, name) for name in kept] == [getattr(before, name) for name in kept]


def test_what_is_refused_is_said(host: Joined, workers: Workers) -> None:
    with workers.context.transaction() as session:
        with pytest.raises(NotFound):
            rotations.begin(session, SYSTEM, "nowhere")
        with pytest.raises(Forbidden):
            rotations.begin(session, workers.actor, host.name)
        accounts.expel(session, host.name)
    with workers.context.transaction() as session, pytest.raises(Conflict, match="corral host rejoin"):
        rotations.begin(session, SYSTEM, host.name)


def test_an_agent_without_an_account_of_its_own_says_so(
    host: Joined, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.terminate()
    monkeypatch.setattr("tests.support.accounts.address_of", lambda url, _host: url)
    host.start()
    host.begins()
    assert "0 of 1" in rotating.rotate(workers.context)
    assert "no account of its own" in host.identity().rotation_problem
    assert rotating.rotate(workers.context) == "nothing to do", "it rests for a while"
    assert host.valid() == [FIRST]
