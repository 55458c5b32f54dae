"""A machine becomes a host by the line that the command line prints, and is one no more when it is removed."""

from __future__ import annotations

import json
import os
import shlex
import stat
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
from redis import Redis

from cli.fleet.fleet import Fleet
from core.contract import channels, joining
from corral import Client, NotFound
from tests.clients.conftest import Run
from tests.support.machines import Machine
from tests.support.waiting import until

HOST = "web-7"


@pytest.fixture
def machine(tmp_path: Path, fleet: Fleet, client: Client) -> Iterator[Machine]:
    made = Machine(tmp_path, fleet.plan.images)
    yield made
    made.close()
    try:
        client.hosts.remove(HOST, force=True)
    except NotFound:
        pass  # it never was one, or the test did


def token_of(corral: Run, *words: str) -> str:
    """What stands in the line."""
    return corral("host", *words, "--no-wait", "-o", "name").stdout.strip()


def is_online(client: Client) -> bool:
    try:
        return bool(client.hosts.get(HOST)["status"] == "online")
    except NotFound:
        return False


def test_from_the_line_to_a_host_and_its_end(fleet: Fleet, corral: Run, client: Client, machine: Machine) -> None:
    adding = machine.begin("cli.main", "host", "add", HOST, "--labels", "zone=a,disk=ssd", environment=os.environ)
    line = shlex.split(until(lambda: [each for each in machine.said().splitlines() if "agent join" in each])[0])
    assert (line[:2], line[3:]) == (["corral-agent", "join"], ["&&", "corral-agent"])
    assert f"joined as '{HOST}'" in machine.join(line[2])
    assert stat.S_IMODE(machine.settings.stat().st_mode) == 0o600
    assert [each.name for each in machine.settings.parent.iterdir()] == ["agent.json"]
    agent = machine.serve()
    assert adding.wait(60) == 0, machine.said()
    assert f"Host '{HOST}' is online." in machine.said()
    assert "has already joined as 'web-7'" in machine.join(line[2])

    assert client.hosts.get(HOST)["labels"] == {"zone": "a", "disk": "ssd"}
    assert [each["name"] for each in client.hosts.list(label="zone=a")] == [HOST]

    name = "on-web-7"
    client.vms.create(name, hypervisor="fake", host=HOST)
    client.vms.start(name)
    assert client.commands.run(name, "echo hello").stdout == "hello\n"

    with Redis.from_url(fleet.redis_url) as redis:
        assert own_connections(redis)
        corral("host", "remove", HOST, "--yes", code=5)  # it is online
        corral("host", "remove", HOST, "--yes", "--force")
        assert not own_connections(redis)
    with pytest.raises(NotFound):
        client.hosts.get(HOST)
    until(lambda: client.vms.get(name).status == "lost")
    client.vms.delete(name)
    assert agent.poll() is None  # it runs, and reaches nobody


def own_connections(redis: Redis) -> list[str]:
    there = redis.client_list()
    return [each["addr"] for each in there if each["user"] == channels.account(HOST)]  # type: ignore[union-attr]


class Halfway(ThreadingHTTPServer):
    """Stands before the API, and lets who joins wait for ever: before the API hears of it, or once it has answered."""

    def __init__(self, fleet: Fleet, *, answered: bool) -> None:
        super().__init__(("127.0.0.1", 0), Stopped)
        self.url, self.to = f"http://127.0.0.1:{self.server_port}", fleet.url if answered else ""
        self.reached, self.released = threading.Event(), threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.released.set()
        self.shutdown()
        self.server_close()


class Stopped(BaseHTTPRequestHandler):
    """One request."""

    server: Halfway

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.to:
            done = requests.post(self.server.to + self.path, body, headers=dict(self.headers), timeout=30)
            assert done.status_code == 200, done.text
        self.server.reached.set()
        self.server.released.wait()

    def log_message(self, *_: object) -> None:
        """Nothing is told of it."""


@pytest.mark.parametrize("answered", [False, True], ids=["before it is asked", "once it has been answered"])
def test_a_join_that_is_killed_is_done_by_the_same_line(
    fleet: Fleet, corral: Run, client: Client, machine: Machine, answered: bool
) -> None:
    word, halfway = token_of(corral, "add", HOST), Halfway(fleet, answered=answered)
    stopped = joining.written(replace(joining.read(word), url=halfway.url))
    try:
        process = machine.begin_to_join(stopped)
        assert halfway.reached.wait(60)
        process.kill()
        process.wait()
    finally:
        halfway.close()
    assert not machine.settings.exists()
    assert f"joined as '{HOST}'" in machine.join(word)
    machine.serve()
    until(lambda: is_online(client))


def test_a_machine_joins_again_and_its_former_self_is_cut_off(corral: Run, client: Client, machine: Machine) -> None:
    machine.join(token_of(corral, "add", HOST))
    former = machine.serve()
    until(lambda: is_online(client))
    assert "has joined already" in corral("host", "add", HOST, "--no-wait", code=5).stderr
    machine.join(token_of(corral, "rejoin", HOST))
    former.kill()
    former.wait()
    machine.serve()
    seen = client.hosts.get(HOST)["last_seen_at"]
    until(lambda: client.hosts.get(HOST)["last_seen_at"] > seen)


def test_what_goes_wrong_is_said_and_leaves_nothing(corral: Run, machine: Machine) -> None:
    word = token_of(corral, "add", HOST)
    assert "is incomplete" in machine.join(word[:-1], code=1)
    assert "not a join token" in machine.join("hello", code=1)
    unknown = joining.written(joining.Token(joining.read(word).url, "join-0", "x"))
    assert "not joined: this fleet has no such join token" in machine.join(unknown, code=1)
    nowhere = joining.written(joining.Token("http://127.0.0.1:9", "join-0", "x"))
    assert "not joined: the API at http://127.0.0.1:9 can't be reached from here" in machine.join(nowhere, code=1)
    far = joining.written(joining.Token("http://fleet.example", "join-0", "x"))
    assert "not joined: http://fleet.example is not an https address" in machine.join(far, code=1)
    assert not machine.settings.exists()
    assert "has not joined a fleet" in machine.run(f"--settings={machine.settings}", code=1)


def test_tokens_are_listed_and_revoked(corral: Run, machine: Machine) -> None:
    made = json.loads(corral("host", "add", "--uses", "3", "--ttl", "2h", "-o", "json").stdout)
    assert made["id"] in corral("host", "tokens", "-o", "name").stdout.split()
    corral("host", "revoke-token", made["id"])
    assert "not joined: this join token was revoked at" in machine.join(made["token"], code=1)
    assert "are not labels" in corral("host", "add", "--labels", "zone", code=2).stderr
    assert "is not a duration" in corral("host", "add", "--ttl", "soon", code=2).stderr
