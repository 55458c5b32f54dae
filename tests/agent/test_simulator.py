"""A simulated host keeps what an agent promises: each of these is asked of both."""

from __future__ import annotations

import itertools
import os
import secrets
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis as Client
from sqlalchemy import create_engine, text

from cli.fleet.redis import Redis
from core.contract import channels
from core.contract.hosts import HostUsage, Inventory
from core.contract.messages import decode
from core.contract.states import Kind, Observed
from core.contract.vms import VmUsage
from core.database import transaction
from core.services import users
from tests.agent.hosts import Host
from tests.support.waiting import until

_prefixes = itertools.count(1)


class Simulated(Host):
    """One host of a simulator; `arguments` are the simulator's."""

    def __init__(self, home: Path, redis_url: str) -> None:
        super().__init__(home, redis_url)
        self.prefix = f"sim{next(_prefixes)}"
        self.name = f"{self.prefix}-0001"

    def start(self, *arguments: str, wait: bool = True) -> None:
        known = self._heartbeat() if wait else None
        command = [sys.executable, "-m", "tools.simulator", "--hosts=1", f"--prefix={self.prefix}", *arguments]
        environment = {**os.environ, "REDIS_URL": self.url, "DATABASE_URL": ""}
        with (self.home / "agent.log").open("ab") as log:
            self.process = subprocess.Popen([*command, "--hypervisor=fake"], env=environment, stdout=log, stderr=log)
        if wait:
            until(lambda: self._heartbeat() not in (None, known), why=self.log)


@pytest.fixture(scope="module", params=[Host, Simulated], ids=["agent", "simulator"])
def either(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, redis: Redis) -> Iterator[Host]:
    """A host of each kind, running."""
    made: Host = request.param(tmp_path_factory.mktemp("host"), redis.url)
    made.start()
    yield made
    assert made.terminate() == 0
    made.redis.close()


@pytest.fixture
def own(tmp_path: Path, redis: Redis) -> Iterator[Simulated]:
    """A simulated host that a test starts itself."""
    made = Simulated(tmp_path, redis.url)
    yield made
    if made.alive():
        made.kill()
    made.redis.close()


def test_a_vm_lives_its_life(either: Host) -> None:
    vm = either.made()
    started = either.do(Kind.START, vm)
    assert (started.observation.state, started.observation.started_at > 0) == (Observed.RUNNING, True)
    assert either.do(Kind.PAUSE, vm).observation.state is Observed.PAUSED
    assert either.do(Kind.RESUME, vm).observation.state is Observed.RUNNING
    assert either.do(Kind.RESTART, vm, force=True).observation.state is Observed.RUNNING
    assert either.do(Kind.STOP, vm, force=True).observation.state is Observed.STOPPED
    assert either.do(Kind.DELETE, vm).observation.state is Observed.ABSENT


def test_a_command_delivered_twice_is_answered_twice_and_done_once(either: Host) -> None:
    vm = either.made()
    start = either.command(Kind.START, vm)
    either.send(start)
    either.end(start.operation_id)
    either.send(start, attempt=2)
    first, second = either.ends(start.operation_id, 2)
    assert (first.attempt, second.attempt) == (1, 2)
    assert (first.generation, first.observation) == (second.generation, second.observation)


def test_an_older_attempt_is_refused(either: Host) -> None:
    vm = either.made()
    start = either.command(Kind.START, vm)
    either.send(start, attempt=3)
    either.end(start.operation_id)
    either.send(start, attempt=2)
    either.do(Kind.STOP, vm, force=True)
    assert len(either.ends(start.operation_id, 1)) == 1


def test_a_command_past_its_deadline_is_not_begun(either: Host) -> None:
    vm = either.made()
    report = either.do(Kind.START, vm, seconds=-1.0)
    assert (report.phase, report.failure.code, report.failure.retryable) == ("failed", "deadline_exceeded", True)
    assert report.observation.state is Observed.STOPPED


def test_nothing_brings_a_deleted_vm_back(either: Host) -> None:
    vm = either.made()
    either.do(Kind.DELETE, vm)
    late = either.do(Kind.CREATE, vm)
    assert (late.phase, late.failure.code, late.observation.state) == ("failed", "vm_not_found", Observed.ABSENT)
    assert either.do(Kind.DELETE, vm).phase == "succeeded"


def test_a_cancel_may_come_before_its_command(either: Host) -> None:
    vm = either.made()
    start = either.command(Kind.START, vm)
    assert either.call("cancel", operation_id=start.operation_id).result == {"state": "cancelled"}
    assert either.end(start.operation_id).phase == "cancelled"
    either.send(start)
    assert either.ends(start.operation_id, 2)[1].attempt == 1
    assert either.call("observe", vm).result["state"] == "stopped"


def test_a_lost_report_is_sent_again_when_it_is_asked_for(either: Host) -> None:
    vm = either.made()
    start = either.command(Kind.START, vm)
    either.send(start)
    first = either.end(start.operation_id)
    assert either.call("report", operation_id=start.operation_id).result == {"state": "finished"}
    assert either.ends(start.operation_id, 2)[1].generation == first.generation
    assert either.call("report", operation_id="never").result == {"state": "unknown"}


def test_generations_grow_over_all_that_is_told(either: Host) -> None:
    vm = either.made()
    told = [either.do(Kind.START, vm), either.do(Kind.STOP, vm, force=True)]
    before = until(either.inventory).generation
    either.redis.delete(channels.heartbeat(either.name))
    after = until(lambda: (each := either.inventory()) and each.generation > before and each)
    assert told[0].generation < told[1].generation < after.generation


def test_it_tells_of_its_vms_when_it_was_forgotten(either: Host) -> None:
    vm = either.made()
    either.redis.delete(channels.heartbeat(either.name))
    told: Inventory = until(
        lambda: (each := either.inventory()) and vm.id in {seen.vm_id for seen in each.vms} and each
    )
    assert told.host == either.name
    assert told.home_id


def test_it_lays_down_what_it_uses(either: Host) -> None:
    vm = either.made()
    either.do(Kind.START, vm)
    used: Any = until(lambda: either.redis.hget(channels.vm_usage(either.name), vm.id))
    assert decode(VmUsage, used).memory_mb > 0
    machine: Any = either.redis.get(channels.usage(either.name))
    assert decode(HostUsage, machine).host == either.name
    assert 0 < int(either.redis.ttl(channels.vm_usage(either.name))) <= 20  # type: ignore[arg-type]


@pytest.mark.parametrize(("verb", "code"), [("dance", "unsupported"), ("console", "invalid_request")])
def test_a_call_it_cannot_answer_is_refused(either: Host, verb: str, code: str) -> None:
    assert either.asked(verb, None, {}).failure.code == code


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b'{"body": "", "headers": {}, "properties": {}}', b'{"sealed": "x"}']
)
def test_what_it_cannot_read_does_no_harm(either: Host, text: bytes) -> None:
    either.redis.lpush(channels.command_queue(either.name), text)
    either.redis.rpush(channels.calls(either.name), text)
    assert either.do(Kind.CREATE, either.vm()).phase == "succeeded"


def test_a_command_of_wrong_params_fails(either: Host) -> None:
    report = either.do(Kind.STOP, either.made(), grace_seconds="long")
    assert (report.phase, report.failure.code) == ("failed", "invalid_request")


def test_a_second_of_the_name_is_refused(own: Simulated) -> None:
    own.redis.set(channels.home(own.name), "another")
    own.start(wait=False)
    assert own.process is not None
    assert own.process.wait(60) == 1
    assert "is another agent's" in own.log()


def test_an_operation_that_takes_its_time_can_be_cancelled(own: Simulated) -> None:
    own.start("--work-seconds=100000")
    create = own.send(own.command(Kind.CREATE, own.vm(), seconds=600))
    own.seen(create, "begun")
    assert own.call("cancel", operation_id=create).result == {"state": "cancelling"}
    assert own.end(create).phase == "cancelled"


def test_all_agents_start_anew_at_a_signal(own: Simulated) -> None:
    own.start("--vms=3")
    first = until(own.inventory)
    assert [seen.state for seen in first.vms] == [Observed.RUNNING, Observed.STOPPED, Observed.RUNNING]
    assert own.process is not None
    own.process.send_signal(signal.SIGUSR1)
    second = until(lambda: (each := own.inventory()) and each.boot_id != first.boot_id and each)
    assert second.vms == first.vms


def test_it_goes_on_when_redis_was_away(own: Simulated) -> None:
    own.start()
    own.redis.client_kill_filter(_type="normal", skipme=True)
    assert own.do(Kind.CREATE, own.vm()).phase == "succeeded"


def test_the_record_knows_its_hosts_and_their_vms(tmp_path: Path, database_url: str, redis: Redis) -> None:
    """Each host comes with an account of its own, which may do no more than an agent's."""
    prefix, owner = f"sim{secrets.token_hex(3)}", f"u{secrets.token_hex(3)}"
    engine = create_engine(database_url)
    with transaction(engine) as session:
        users.add(session, owner, "a good password", "user")
    command = [sys.executable, "-m", "tools.simulator", "--hosts=3", "--vms=4", f"--prefix={prefix}"]
    environment = {**os.environ, "REDIS_URL": redis.url, "DATABASE_URL": database_url}
    log = tmp_path / "log"
    with log.open("ab") as file:
        process = subprocess.Popen([*command, f"--owner={owner}"], env=environment, stdout=file, stderr=file)
    try:
        until(lambda: "3 hosts serve" in log.read_text())
        with engine.connect() as connection:
            counted = "SELECT count(*), count(*) FILTER (WHERE observed = 'running') FROM vms WHERE host_name LIKE :of"
            assert tuple(connection.execute(text(counted), {"of": f"{prefix}-%"}).one()) == (12, 6)
        client = Client.from_url(redis.url)
        connected: Any = client.client_list()
        users_of = {each["user"] for each in connected}
        assert {f"host.{prefix}-{number:04d}" for number in (1, 2, 3)} <= users_of
        client.close()
    finally:
        process.terminate()
        assert process.wait(60) == 0
        engine.dispose()


def test_a_user_that_is_not_there_is_named(tmp_path: Path, database_url: str, redis: Redis) -> None:
    nobody = uuid.uuid4().hex
    command = [sys.executable, "-m", "tools.simulator", f"--owner={nobody}"]
    environment = {**os.environ, "REDIS_URL": redis.url, "DATABASE_URL": database_url}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert f"there is no user '{nobody}'" in done.stderr
