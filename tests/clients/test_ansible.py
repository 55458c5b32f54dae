"""The Ansible collection, by the real Ansible, on a real fleet."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cli.fleet.fleet import Fleet
from corral import Client, NotFound
from tests.support.contents import noise

COLLECTION = Path(__file__).parents[2] / "deploy" / "ansible"
PROGRAMS = Path(sys.executable).parent
BOOTS = noise(510) + b"\x55\xaa"
"""A first sector with a boot loader."""


@dataclass
class Ansible:
    """Runs modules and playbooks as the fleet's administrator."""

    home: Path
    url: str
    token: str
    more: dict[str, str] = field(default_factory=dict)
    said: str = ""

    def module(self, which: str, /, *options: str, code: int = 0, **params: Any) -> Any:
        """One module on this machine; what it returned."""
        asked = ["-m", f"corral.fleet.{which}", "-a", json.dumps(params), *options]
        done = self.run("ansible", "localhost", *asked)
        assert done.returncode == code, done.stdout + done.stderr
        self.said = done.stdout
        return json.loads(done.stdout.rpartition(" => ")[2])

    def playbook(self, path: Path, *options: str, **variables: Any) -> dict[str, int]:
        """A playbook that must succeed; its recap."""
        done = self.run("ansible-playbook", str(path), "-e", json.dumps(variables), *options)
        assert done.returncode == 0, done.stdout + done.stderr
        return {name: int(count) for name, count in re.findall(r"(\w+)=(\d+)", done.stdout.rpartition("RECAP")[2])}

    def run(self, program: str, *words: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "ANSIBLE_COLLECTIONS_PATH": str(self.home),
            "ANSIBLE_HOME": str(self.home / "ansible"),
            "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "CORRAL_CONFIG": str(self.home / "config.json"),
            "CORRAL_URL": self.url,
            "CORRAL_TOKEN": self.token,
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
            "HOME": str(self.home),
            "LC_ALL": "C.UTF-8",
            "PATH": os.environ["PATH"],
        }
        command = [str(PROGRAMS / program), *words]
        return subprocess.run(
            command, env=environment | self.more, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )


@pytest.fixture
def ansible(fleet: Fleet, tmp_path: Path) -> Ansible:
    """With the collection at the place where Ansible looks for it."""
    place = tmp_path / "ansible_collections" / "corral"
    place.mkdir(parents=True)
    (place / "fleet").symlink_to(COLLECTION)
    return Ansible(tmp_path, fleet.url, fleet.credentials.api_key)


@pytest.fixture
def name() -> str:
    return f"vm-{uuid.uuid4().hex[:8]}"


def is_there(get: Callable[[str], Any], name: str) -> bool:
    try:
        get(name)
    except NotFound:
        return False
    return True


def test_the_example_twice_and_the_second_time_nothing_changes(ansible: Ansible, client: Client, name: str) -> None:
    playbook = COLLECTION / "example.yml"
    servers = [f"{name}-1", f"{name}-2"]
    assert ansible.playbook(playbook, "--check", servers=servers)["changed"] == 2
    assert not is_there(client.vms.get, servers[0])
    first = ansible.playbook(playbook, servers=servers)
    assert (first["changed"], first["failed"]) == (2, 0)
    made = [client.vms.get(each) for each in servers]
    assert [(each.status, each.memory_mb) for each in made] == [("running", 512)] * 2
    second = ansible.playbook(playbook, servers=servers)
    assert (second["ok"], second["changed"], second["failed"]) == (2, 0, 0)
    assert [client.vms.get(each).id for each in servers] == [each.id for each in made]
    grown = ansible.playbook(playbook, servers=servers, memory_mb=1024)
    assert grown["changed"] == 1
    assert ansible.playbook(playbook, servers=servers, memory_mb=1024)["changed"] == 0
    for each in servers:
        client.vms.delete(each)


def test_a_vm_s_states(ansible: Ansible, client: Client, name: str) -> None:
    assert ansible.module("vm", "--check", "--diff", name=name, vcpus=2)["changed"]
    assert '+    "status": "created"' in ansible.said
    assert not is_there(client.vms.get, name)
    assert ansible.module("vm", name=name, vcpus=2)["vm"]["status"] == "created"
    assert not ansible.module("vm", name=name, state="stopped")["changed"]
    started = ansible.module("vm", name=name, state="started", cpu_limit_percent=50)
    assert (started["changed"], started["vm"]["status"]) == (True, "running")
    assert started["vm"]["at_next_start"]["cpu_limit_percent"] == 50
    client.vms.pause(name)
    assert ansible.module("vm", name=name, state="started", vcpus=2, cpu_limit_percent=50)["changed"]
    assert ansible.module("vm", "--check", "--diff", name=name, state="stopped", vcpus=1)["changed"]
    for line in ('-    "status": "running"', '+    "status": "stopped"', '-    "vcpus": 2', '+    "vcpus": 1'):
        assert line in ansible.said
    assert client.vms.get(name).status == "running", "a check changes nothing"
    assert ansible.module("vm", name=name, state="stopped", force=True)["vm"]["status"] == "stopped"
    refused = ansible.module("vm", name=name, image="another", code=2)
    assert "has image 'linux-default', and 'another' is asked for, which can't be changed" in refused["msg"]
    assert "state=absent" in refused["msg"]
    assert ansible.module("vm", name=name, state="absent")["vm"] == {}
    assert not ansible.module("vm", name=name, state="absent")["changed"]


def test_snapshots(ansible: Ansible, client: Client, vm: str) -> None:
    asked: dict[str, Any] = {"vm": vm, "name": "good", "description": "as it was made"}
    assert ansible.module("snapshot", "--check", **asked)["changed"]
    assert list(client.snapshots.list(vm)) == []
    assert ansible.module("snapshot", **asked)["snapshot"]["description"] == "as it was made"
    assert not ansible.module("snapshot", **asked)["changed"]
    assert "another description" in ansible.module("snapshot", **asked | {"description": "x"}, code=2)["msg"]
    assert ansible.module("snapshot", vm=vm, name="good", state="absent")["changed"]
    assert not ansible.module("snapshot", vm=vm, name="good", state="absent")["changed"]
    assert not ansible.module("snapshot", vm=f"{vm}-none", name="good", state="absent")["changed"]
    assert "not found" in ansible.module("snapshot", vm=f"{vm}-none", name="good", code=2)["msg"]


def test_images(ansible: Ansible, client: Client, name: str, tmp_path: Path) -> None:
    disk = tmp_path / "disk.img"
    disk.write_bytes(BOOTS + noise(1024 * 1024))
    asked: dict[str, Any] = {"name": name, "disk": str(disk), "description": "empty"}
    assert ansible.module("image", "--check", **asked)["changed"]
    assert not is_there(client.images.get, name)
    made = ansible.module("image", **asked)["image"]
    assert made["description"] == "empty"
    assert not ansible.module("image", **asked)["changed"]
    disk.write_bytes(BOOTS + noise(2 * 1024 * 1024))
    assert "give `replace: true`" in ansible.module("image", **asked, code=2)["msg"]
    assert ansible.module("image", **asked, replace=True)["image"]["digest"] != made["digest"]
    assert "give `disk`" in ansible.module("image", name=f"{name}-x", code=2)["msg"]
    assert "No such file" in ansible.module("image", name=name, disk="/none", code=2)["msg"]
    assert ansible.module("image", name=name, state="absent")["changed"]
    assert not ansible.module("image", name=name, state="absent")["changed"]


def test_what_is_wrong_is_said_with_what_to_do(ansible: Ansible, name: str) -> None:
    assert "vcpus must be between 1 and 16" in ansible.module("vm", name=name, vcpus=100_000, code=2)["msg"]
    assert "value of state must be one of" in ansible.module("vm", name=name, state="wild", code=2)["msg"]
    ansible.token = "corral_wrong"
    refused = ansible.module("vm", name=name, code=2)
    assert "give an API key as `token` or in CORRAL_TOKEN" in refused["msg"]
    assert "corral_wrong" not in json.dumps(refused)
    ansible.url = "http://127.0.0.1:1"
    assert "is the fleet up" in ansible.module("vm", name=name, code=2)["msg"]
    ansible.more = {"CORRAL_URL": "", "CORRAL_TOKEN": ""}
    assert "run `corral login`" in ansible.module("vm", name=name, code=2)["msg"]


@pytest.mark.parametrize("module", ["image", "snapshot", "vm"])
def test_each_option_is_documented(ansible: Ansible, module: str) -> None:
    done = ansible.run("ansible-doc", "-t", "module", "--json", f"corral.fleet.{module}")
    documented = json.loads(done.stdout)[f"corral.fleet.{module}"]
    text = (COLLECTION / "plugins" / "modules" / f"{module}.py").read_text()
    table = text[text.index("_OPTIONS") : text.index("\n}\n", text.index("_OPTIONS"))]
    options = set(re.findall(r'^    "(\w+)": \{', table, re.MULTILINE)) | {"url", "token", "timeout"}
    assert set(documented["doc"]["options"]) == options
    assert documented["examples"]
    assert documented["return"]
