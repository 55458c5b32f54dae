"""`corral up` as its user has it: a command in a terminal."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import requests

from cli.fleet import ports
from cli.fleet.fleet import Fleet
from cli.fleet.plan import FleetPlan
from tests.support.waiting import until

READY = "Corral is ready"


class Up:
    """A running `corral up` with the fake driver, and what it has printed."""

    def __init__(self, home: Path, *options: str, **environment: str) -> None:
        self.home = home
        self.printed = ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cli.main", "up", "--hypervisor", "fake", "--no-flower", "--agents", "1", *options],
            env={**os.environ, "CORRAL_HOME": str(home), "CORRAL_PORT": str(ports.choose()), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def prints(self, text: str) -> None:
        """Reads on until that text was printed."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.printed += line
            if text in line:
                return
        pytest.fail(f"it ended without printing {text!r}:\n{self.printed}")

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        """Sends the signal, reads the rest; the exit code."""
        self.process.send_signal(number)
        return self.ended()

    def ended(self) -> int:
        """Reads all that it prints until it has ended by itself; the exit code."""
        self.printed += self.process.communicate(timeout=40)[0]
        return self.process.returncode

    def credentials(self) -> dict[str, str]:
        """What it left for its user."""
        found: dict[str, str] = json.loads((self.home / "credentials.json").read_text())
        return found

    def children(self) -> list[psutil.Process]:
        """Everything that it runs."""
        return psutil.Process(self.process.pid).children(recursive=True)


Start = Callable[..., Up]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts one as often as asked; none outlives the test."""
    started: list[Up] = []

    def start_one(home: Path, *options: str, **environment: str) -> Up:
        started.append(Up(home, *options, **environment))
        return started[-1]

    yield start_one
    for each in started:
        if each.process.poll() is None:
            each.process.send_signal(signal.SIGTERM)
        each.ended()


@pytest.fixture
def up(tmp_path: Path, start: Start) -> Up:
    """One that is ready."""
    running = start(tmp_path / "home")
    running.prints(READY)
    return running


def hosts(credentials: dict[str, str]) -> requests.Response:
    return requests.get(f"{credentials['url']}/api/v1/hosts", headers={"X-API-Key": credentials["api_key"]}, timeout=10)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_all_of_it_and_it_exits_0(up: Up, number: signal.Signals) -> None:
    children = up.children()
    assert len(children) >= 7  # with gunicorn's two workers
    assert up.end(number) == 0
    assert not [child for child in children if child.is_running()]


def test_credentials_are_private_work_and_stay_the_same(up: Up, start: Start) -> None:
    first = up.credentials()
    assert (up.home / "credentials.json").stat().st_mode & 0o777 == 0o600
    assert (up.home / "environment").stat().st_mode & 0o777 == 0o600
    assert set(first) == {"url", "flower_url", "username", "password", "api_key", "metrics_token"}
    assert hosts(first).status_code == 200
    up.end()
    again = start(up.home)
    again.prints(READY)
    second = again.credentials()
    assert hosts(second).status_code == 200
    assert {**second, "url": first["url"]} == first
    (up.home / "credentials.json").unlink()
    again.end()
    renewed = start(up.home)
    renewed.prints(READY)
    assert hosts(renewed.credentials()).status_code == 200
    renewed.end()


def test_no_secret_is_on_a_command_line_or_the_screen(up: Up) -> None:
    found = up.credentials()
    secrets = [found["password"], found["api_key"]]
    secrets += [path.read_text().strip() for path in up.home.glob("*.password")]
    shown = up.printed + "".join(" ".join(child.cmdline()) for child in up.children())
    assert len(secrets) == 4
    assert not [secret for secret in secrets if secret in shown]


def test_the_printed_lines_work_when_pasted(up: Up) -> None:
    up.prints("vms/db/start")
    pasted = up.printed[up.printed.index("Paste into") :]
    lines = [line for line in pasted.splitlines() if line.startswith("  ")]
    shell = subprocess.run(
        ["sh", "-e"], input="\necho\n".join(lines), capture_output=True, text=True, timeout=60, check=True
    )
    answers = [json.loads(line) for line in shell.stdout.splitlines() if line.startswith("{")]
    assert [answer.get("status") for answer in answers] == ["created", "running", None] + 3 * ["success"]
    assert answers[2]["exit_code"] == 0
    assert [vm["name"] for vm in answers[3]["data"]] == ["web"]


def test_after_kill_9_of_everything_the_next_one_starts_well(up: Up, start: Start) -> None:
    for process in [*up.children(), psutil.Process(up.process.pid)]:
        with suppress(psutil.NoSuchProcess):  # a child may go with its parent
            process.kill()
    up.ended()
    again = start(up.home)
    again.prints(READY)
    assert again.end() == 0


def test_a_second_one_in_the_same_home_is_refused(up: Up, start: Start) -> None:
    second = start(up.home)
    assert second.ended() == 1
    assert f"runs in {up.home} already (process {up.process.pid})" in second.printed


def test_a_taken_port_is_named_with_its_variable(tmp_path: Path, start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = start(tmp_path / "home", CORRAL_PORT=str(port))
        assert refused.ended() == 1
    assert f"port {port} is taken by another program: set CORRAL_PORT" in refused.printed


def test_what_fails_at_its_start_is_shown_with_the_end_of_its_log(tmp_path: Path, start: Start) -> None:
    failed = start(tmp_path / "home", "--hypervisor", "abacus")
    assert failed.ended() == 1
    assert re.search(r"host-[ab] ended at its start \(exit code 2\)", failed.printed)
    assert "invalid choice: 'abacus'" in failed.printed


def test_given_servers_are_used(tmp_path: Path, database_url: str, redis_url: str, start: Start) -> None:
    given = database_url.replace("+psycopg2", "")
    running = start(tmp_path / "home", DATABASE_URL=given, REDIS_URL=redis_url)
    running.prints(READY)
    assert hosts(running.credentials()).status_code == 200
    assert not (tmp_path / "home" / "postgres").exists()
    assert not (tmp_path / "home" / "redis").exists()
    assert running.end() == 0


def test_a_fleet_brings_back_what_dies(fleet: Fleet, start: Start) -> None:
    former = fleet.process("api").pid
    fleet.kill("api", hold=True)
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{fleet.url}/api/v1/health", timeout=5)
    fleet.restart("api")

    health = f"{fleet.url}/api/v1/health"
    until(lambda: requests.get(health, timeout=5).status_code == 200, despite=requests.RequestException)
    assert fleet.process("api").pid != former


def test_hosts_are_named_in_order(tmp_path: Path) -> None:
    names = FleetPlan(home=tmp_path, images=tmp_path, agents=28).host_names
    assert names[:2] == ["host-a", "host-b"]
    assert names[25:] == ["host-z", "host-27", "host-28"]
