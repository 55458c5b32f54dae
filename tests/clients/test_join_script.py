"""A machine that has nothing of Corral's becomes a host by one line, whatever dies meanwhile."""

from __future__ import annotations

import os
import re
import shlex
import signal
import ssl
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests

import deploy
from cli.fleet.fleet import Fleet
from core.contract import joining
from core.pins import key_of
from corral import Client, NotFound
from tests.clients.conftest import Run
from tests.clients.machines import Machine
from tests.support.certificates import Certificate, certificate
from tests.support.waiting import until

HOST = "web-9"
SCRIPT = (deploy.FOLDER / "join.sh").read_text()


class Front(ThreadingHTTPServer):
    """TLS before the fleet's API, with a certificate that nobody vouches for; `heard`: the paths it was asked for."""

    def __init__(self, fleet: Fleet, own: Certificate) -> None:
        super().__init__(("127.0.0.1", 0), Passing)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(own.file, own.key)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.url, self.to, self.heard = f"https://127.0.0.1:{self.server_port}", fleet.url, list[str]()
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Passing(BaseHTTPRequestHandler):
    """One request."""

    server: Front

    def do_POST(self) -> None:
        self.server.heard.append(self.path)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        kind = {"Content-Type": self.headers["Content-Type"]}
        done = requests.post(self.server.to + self.path, body, headers=kind, timeout=300)
        self.send_response(done.status_code)
        self.send_header("Content-Length", str(len(done.content)))
        self.end_headers()
        self.wfile.write(done.content)

    def log_message(self, *_: object) -> None:
        """Nothing is told of it."""


@pytest.fixture
def own(tmp_path: Path) -> Certificate:
    return certificate(tmp_path)


@pytest.fixture
def front(fleet: Fleet, own: Certificate) -> Iterator[Front]:
    made = Front(fleet, own)
    yield made
    made.shutdown()
    made.server_close()


@pytest.fixture
def machine(tmp_path: Path, client: Client) -> Iterator[Machine]:
    made = Machine(tmp_path / "machine")
    yield made
    made.close()
    try:
        client.hosts.remove(HOST, force=True)
    except NotFound:
        pass  # it never was one


@pytest.fixture
def token(corral: Run, front: Front, own: Certificate) -> str:
    """One that names the server and its key, as a command line that came to it over TLS has made it."""
    word = corral("host", "add", HOST, "--no-wait", "-o", "name").stdout.strip()
    pin = key_of(ssl.PEM_cert_to_DER_cert(own.file.read_text()))
    return joining.written(replace(joining.read(word), url=front.url, pin=pin))


def join(machine: Machine, *words: str, code: int = 0, script: str = SCRIPT, **environment: str) -> str:
    return machine.run("sh", "-s", "--", *words, given=script, code=code, CORRAL_FAKE="1", **environment)


def test_from_nothing_to_a_host(fleet: Fleet, client: Client, machine: Machine, front: Front, token: str) -> None:
    words = (token, "--hypervisor=fake")
    killed = machine.begin("sh", "-s", "--", *words, given=SCRIPT, CORRAL_FAKE="1")
    assert killed.stdout is not None
    until(lambda: "installing it into /opt/corral" in (killed.stdout.readline() if killed.stdout else ""))
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not (machine.root / "opt/corral/.corral-release").exists()

    said = join(machine, *words)
    assert "installing it into /opt/corral" in said
    assert f"joined as '{HOST}'; /etc/corral/agent.json has its settings" in said
    assert "the host runs: systemctl status corral-agent" in said
    assert machine.asked() == ["daemon-reload", "enable --quiet corral-agent", "restart corral-agent"]
    unit = (machine.root / "etc/systemd/system/corral-agent.service").read_text()
    assert "ExecStart=/opt/corral/bin/python -m agent" in unit
    assert set(front.heard) == {"/api/v1/join/release", "/api/v1/join"}

    again = join(machine, *words)
    assert "installing" not in again
    assert f"has already joined as '{HOST}'" in again

    images = str(fleet.plan.images)
    machine.begin("/opt/corral/bin/corral-agent", CORRAL_FAKE="1", CORRAL_IMAGES=images)
    until(lambda: HOST in [each["name"] for each in client.hosts.list(status="online")])
    client.vms.create("on-web-9", hypervisor="fake", host=HOST)
    client.vms.delete("on-web-9")


def test_the_command_line_prints_it(corral: Run, fleet: Fleet) -> None:
    lines = corral("host", "add", "--no-wait").stdout.splitlines()
    line = next(line for line in lines if "join.sh" in line)
    fetching, running = (shlex.split(part) for part in line.split("|"))
    assert (fetching[:2], running[:3]) == (["curl", "-fsS"], ["sh", "-s", "--"])
    assert requests.get(fetching[-1], timeout=30).text == SCRIPT
    assert joining.read(running[3]).url == fleet.url


@pytest.mark.parametrize("part", [0.2, 0.5, 0.9, 0.99])
def test_half_a_script_does_nothing(machine: Machine, front: Front, token: str, part: float) -> None:
    process = machine.begin("sh", "-s", "--", token, given=SCRIPT[: int(len(SCRIPT) * part)])
    process.wait()
    assert front.heard == []
    assert list((machine.root / "opt").iterdir()) == []


def left_nothing(machine: Machine) -> bool:
    return not (machine.root / "opt/corral").exists() and not (machine.root / "etc/corral").exists()


def test_a_server_in_between_hears_nothing(machine: Machine, front: Front, token: str) -> None:
    other = joining.written(replace(joining.read(token), pin="0" * 64))
    assert "another certificate key than the token expects" in join(machine, other, code=1)
    unpinned = joining.written(replace(joining.read(token), pin=""))
    assert "can't be reached from here: SSL certificate problem" in join(machine, unpinned, code=1)
    assert front.heard == []
    assert left_nothing(machine)


def test_what_goes_wrong_is_said_and_leaves_nothing(
    corral: Run, client: Client, machine: Machine, fleet: Fleet, token: str
) -> None:
    def said(*words: str, **environment: str) -> str:
        text = join(machine, *words, code=1, **environment)
        assert text.startswith("not joined: ") or "\nnot joined: " in text, text
        assert left_nothing(machine)
        return text

    known = joining.read(token)
    assert "the token is missing" in said()
    for word in ("hello", token[:-1], token.replace("corral1.", "corral2."), "corral1.", "corral1.e30="):
        assert "the token is not whole, or is none" in said(word)
    assert "no such join token" in said(joining.written(replace(known, secret="wrong")))
    assert "is not an https address" in said(joining.written(replace(known, url="http://fleet.example", pin="")))
    nowhere = replace(known, url="http://127.0.0.1:9", pin="")
    assert "can't be reached from here: Failed to connect" in said(joining.written(nowhere))
    client.join_tokens.revoke(known.id)
    assert re.search("this join token was revoked at .*`corral host add`", said(token))


def test_what_the_machine_lacks_is_named(machine: Machine, front: Front, token: str) -> None:
    def with_programs(*names: str, **doubles: str) -> str:
        folder = machine.root / "bin"
        for old in folder.iterdir():
            old.unlink()
        for name in names:
            (folder / name).symlink_to(f"/usr/bin/{name}")
        for name, text in doubles.items():
            (folder / name).write_text(f"#!/bin/sh\n{text}\n")
            (folder / name).chmod(0o755)
        return join(machine, token, code=1, PATH=str(folder))

    basic = ("id", "sed", "grep", "mount", "sh")
    assert "curl is missing" in with_programs(*basic, "python3")
    assert "apt-get install --no-install-recommends curl python3-venv" in with_programs(*basic, "curl")
    old = with_programs(*basic, "curl", python3='[ "$1" != --version ] || echo Python 3.9.2; exit 1')
    assert "Python 3.11 or later is needed, and this machine has Python 3.9.2" in old
    bare = with_programs(*basic, "curl", python3="case $2 in *ensurepip*) exit 1 ;; esac")
    assert "python3-venv is missing" in bare
    assert "only root can install Corral" in with_programs("sed", "grep", "mount", "sh", id="echo 1000")
    (machine.root / "bin/id").unlink()
    (machine.root / "etc/os-release").unlink()
    (machine.root / "etc/os-release").write_text('PRETTY_NAME="Fedora Linux 44"\nID=fedora\n')
    assert "this machine runs Fedora Linux 44" in join(machine, token, code=1)
    (machine.root / "etc/os-release").write_text("ID=ubuntu\nID_LIKE=debian\n")
    (machine.root / "opt/corral").mkdir()
    (machine.root / "opt/corral/mine").touch()
    assert "/opt/corral is there, and is no virtual environment" in join(machine, token, code=1)
    assert (machine.root / "opt/corral/mine").exists()
