"""The units: what systemd says of them, that they start what `corral up` starts, and that it runs in their limits."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis as client
import requests

from agent.system import holding
from cli.fleet import commands, ports
from cli.fleet.processes import Process, stop_all
from cli.fleet.redis import Redis
from core import settings
from core.contract import channels
from core.contract.errors import Unsupported
from tests.deploy.confined import command, lines
from tests.support.waiting import until

# The most that `systemd-analyze security` may find, of 100: what a unit newly dares has to be argued for.
EXPOSURE = {"corral-api": 16, "corral-worker": 16, "corral-flower": 16, "corral-vms": 12, "corral-agent": 52}
CONFINED = Path(__file__).with_name("confined.py")
TOKEN = "for-the-tests"


def analyzed(*asked: str) -> subprocess.CompletedProcess[str]:
    command = ["systemd-analyze", *asked]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("name", EXPOSURE)
def test_systemd_takes_it_and_finds_it_hardened(units: Path, name: str) -> None:
    unit = units / f"{name}.service"
    taken = analyzed("verify", str(unit))
    assert (taken.returncode, taken.stderr) == (0, "")
    judged = analyzed("security", "--offline=true", "--no-pager", f"--threshold={EXPOSURE[name]}", str(unit))
    assert judged.returncode == 0, judged.stdout[-200:]


def test_none_is_left_out(units: Path) -> None:
    assert {path.stem for path in units.iterdir()} == set(EXPOSURE)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("corral-api", commands.api()),
        ("corral-worker", commands.worker("worker")),
        ("corral-flower", commands.flower(settings.Settings().flower_port)),
    ],
)
def test_it_starts_what_up_starts(units: Path, name: str, wanted: list[str]) -> None:
    assert command(lines(units / f"{name}.service")) == wanted


def test_vms_live_on_when_their_agent_is_started_again(units: Path) -> None:
    """Their group is not below the agent's, and nothing but the agent's own process is told to stop."""
    agent, vms = lines(units / "corral-agent.service"), lines(units / "corral-vms.service")
    group = "/sys/fs/cgroup/system.slice/corral-vms.service"
    assert f"CORRAL_CGROUP={group}" in agent["Environment"]
    assert "Delegate" not in agent
    assert {"cpu", "memory"} <= set(vms["Delegate"][0].split())
    assert agent["KillMode"] == ["process"]
    assert "corral-vms.service" in agent["Wants"][0].split()
    assert "corral-vms.service" in agent["After"][0].split()
    assert vms["RefuseManualStop"] == ["yes"]
    assert not {"PartOf", "Requires", "BindsTo"} & (agent.keys() | vms.keys())


def test_every_setting_that_it_sets_is_one(units: Path, root: Path) -> None:
    known = {variable.name for variable in settings.variables().values()}
    known |= {"FLOWER_BASIC_AUTH", "AGENT_OPTIONS"}
    told = [line for unit in units.iterdir() for line in lines(unit).get("Environment", [])]
    for file in (root / "etc/corral").iterdir():
        told += [line for line in file.read_text().splitlines() if line and not line.startswith("#")]
    assert len(told) > 10
    assert {line.partition("=")[0] for line in told} <= known


class Started:
    """Programs of units, within their limits, on servers of the tests; and what they tell systemd."""

    def __init__(self, units: Path, home: Path, environment: dict[str, str]) -> None:
        self._units, self._home = units, home
        self.told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.told.bind(str(home / "notify"))
        self.told.settimeout(60)
        self._environment = {**os.environ, **environment, "NOTIFY_SOCKET": str(home / "notify")}
        self._processes: list[Process] = []

    def start(self, name: str, **environment: str) -> Process:
        line = [sys.executable, str(CONFINED), str(self._units / f"{name}.service")]
        log = self._home / f"{name}.log"
        process = Process(name, line, log=log, environment={**self._environment, **environment}, folder=self._home)
        self._processes.append(process)
        process.start()
        return process

    def end(self) -> None:
        stop_all(self._processes, 10)
        self.told.close()


@pytest.fixture
def started(units: Path, tmp_path: Path, database_url: str, redis: Redis) -> Iterator[Started]:
    environment = {
        "CORRAL_HOME": str(tmp_path / "home"),
        "CORRAL_IMAGES": str(tmp_path / "images"),
        "DATABASE_URL": database_url,
        "REDIS_URL": redis.url,
        "CORRAL_METRICS_TOKEN": TOKEN,
        "CORRAL_API_WORKERS": "1",
    }
    running = Started(units, tmp_path, environment)
    yield running
    running.end()


def _answers(url: str) -> Callable[[], bool]:
    shown = {"Authorization": f"Bearer {TOKEN}"}
    return lambda: requests.get(url, headers=shown, timeout=5).status_code == 200


def test_every_part_works_within_its_limits(started: Started, redis: Redis) -> None:
    port = str(ports.choose())
    started.start("corral-api", CORRAL_PORT=port)
    started.start("corral-worker")
    started.start("corral-agent", AGENT_OPTIONS="--name confined --hypervisor fake --vcpus 4")
    assert b"READY=1" in started.told.recv(1000)
    until(_answers(f"http://127.0.0.1:{port}/metrics"), despite=requests.RequestException)
    with client.Redis.from_url(redis.url) as asked:
        until(lambda: asked.zcard(channels.WORKERS))
        until(lambda: asked.keys("*confined*"))


@pytest.mark.parametrize("manager", ["PATH/notify", "@corral-test-holder"])
def test_the_holder_of_the_vms_group_tells_systemd_once_it_holds(units: Path, tmp_path: Path, manager: str) -> None:
    assert command(lines(units / "corral-vms.service"))[1:] == ["-m", holding.__name__]
    group, address = tmp_path / "group", manager.replace("PATH", str(tmp_path))
    group.mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as told:
        told.bind(address.replace("@", "\0"))
        with pytest.raises(Unsupported, match="No such file"):
            holding.hold(group, address)
        with pytest.raises(BlockingIOError):
            told.recv(100)
        (group / "cgroup.controllers").write_text("cpu memory pids\n")
        (group / "cgroup.subtree_control").write_text("")
        holding.hold(group, address)
        assert (group / "cgroup.subtree_control").read_text() == "+cpu +memory"
        assert told.recv(100) == b"READY=1"
