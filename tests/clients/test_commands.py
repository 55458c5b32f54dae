"""What a person types, and sees."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
import yaml

from cli.fleet.fleet import Fleet
from corral import Client
from tests.clients.conftest import Run


def test_the_life_of_a_vm(corral: Run) -> None:
    vm = "typed"
    corral("vm", "create", vm, "--hypervisor", "fake", "--ttl", "8h", "--start")
    listed = corral("vm", "list").stdout.splitlines()
    assert listed[0].split()[:3] == ["NAME", "STATUS", "VCPUS"]
    assert [line.split()[1] for line in listed if line.startswith(vm)] == ["running"]
    assert "is stopped" in corral("vm", "stop", vm).stderr
    assert json.loads(corral("vm", "show", vm, "-o", "json").stdout)["status"] == "stopped"
    assert "is running" in corral("vm", "start", vm).stderr
    assert "at its next start" in corral("vm", "resize", vm, "--memory", "1024").stderr
    corral("vm", "delete", "--yes", vm)
    assert "not found" in corral("vm", "show", vm, code=3).stderr


def test_each_format(corral: Run, vm: str) -> None:
    assert vm in corral("vm", "list", "-o", "name").stdout.split()
    as_json = json.loads(corral("vm", "list", "-o", "json").stdout)
    as_yaml = yaml.safe_load(corral("vm", "list", "-o", "yaml").stdout)
    assert [each["name"] for each in as_json] == [each["name"] for each in as_yaml]
    assert as_json[0]["created_at"].endswith("Z")
    shown = corral("vm", "show", vm).stdout
    assert "network_config.ip" in shown
    assert "\x1b" not in shown, "no colours in a pipe"


def test_what_is_not_waited_for(corral: Run, vm: str) -> None:
    operation = corral("vm", "stop", vm, "--no-wait").stdout.strip()
    assert "succeeded" in corral("op", "wait", operation).stdout
    assert operation in corral("op", "list", "--vm", vm, "-o", "name").stdout.split()
    assert json.loads(corral("op", "show", operation, "-o", "json").stdout)["kind"] == "stop"


def test_commands_end_with_the_code_of_the_guest(corral: Run, vm: str) -> None:
    assert corral("vm", "exec", vm, "echo hello").stdout == "hello\n"
    assert corral("vm", "exec", vm, "--", "echo", "two words", "'").stdout == "two words '\n"
    corral("vm", "exec", vm, "exit 7", code=7)
    assert corral("vm", "exec", "-i", vm, "cat", given="typed").stdout == "typed"
    late = corral("vm", "exec", "--timeout", "1", vm, "sleep 30", code=125)
    assert "did not end in time and was killed" in late.stderr
    corral("vm", "exec", "no-such-vm", "true", code=3)


def test_a_command_that_runs_on(corral: Run, vm: str) -> None:
    exec_id = corral("vm", "exec", "-d", vm, "sleep 300").stdout.strip()
    assert exec_id in corral("vm", "execs", "list", vm, "--state", "running", "-o", "name").stdout.split()
    corral("vm", "execs", "kill", vm, exec_id)
    assert "killed" in corral("vm", "execs", "wait", vm, exec_id).stdout
    corral("vm", "execs", "forget", vm, exec_id)
    corral("vm", "execs", "show", vm, exec_id, code=3)


def test_files_go_both_ways(corral: Run, vm: str, tmp_path: Path) -> None:
    source, target = tmp_path / "data.bin", tmp_path / "back"
    source.write_bytes(bytes(range(256)) * 1000)
    corral("vm", "cp", str(source), f"{vm}:/srv/")
    assert "/srv/data.bin" in corral("vm", "files", vm, "/srv").stdout
    target.mkdir()
    corral("vm", "cp", f"{vm}:/srv/data.bin", str(target))
    assert (target / "data.bin").read_bytes() == source.read_bytes()
    assert "/srv/none not found" in corral("vm", "cp", f"{vm}:/srv/none", str(target), code=3).stderr
    assert [path.name for path in target.iterdir()] == ["data.bin"]
    corral("vm", "cp", str(source), str(target), code=2)


def test_snapshots_and_forwards(corral: Run, vm: str) -> None:
    corral("vm", "snapshot", "create", vm, "good", "--memory")
    assert corral("vm", "snapshot", "list", vm, "-o", "name").stdout == "good\n"
    corral("vm", "snapshot", "restore", vm, "good")
    corral("vm", "snapshot", "delete", vm, "good")
    address = corral("vm", "forward", "add", vm, "80").stdout.strip()
    port = address.rpartition(":")[2]
    assert port in corral("vm", "forward", "list", vm).stdout
    corral("vm", "forward", "remove", vm, port)


def test_the_fleet(corral: Run, vm: str) -> None:
    assert "host-a" in corral("host", "list", "-o", "name").stdout
    assert "fake" in corral("host", "show", "host-a").stdout
    assert "components.database" in corral("health").stdout
    assert "statistics.total_vms" in corral("status").stdout
    assert "vm_create" in corral("audit", "list", "--action", "vm_create").stdout
    assert json.loads(corral("api", "get", "/vms", "-q", "limit=1").stdout)["limit"] == 1


def test_hosts_are_labelled(corral: Run) -> None:
    label = f"l{uuid.uuid4().hex[:8]}"
    assert f"labels.{label}" in corral("host", "label", "host-a", f"{label}=a", "other=").stdout
    assert corral("host", "list", "--label", f"{label}=a", "-o", "name").stdout == "host-a\n"
    assert f"{label}=a, other=" in corral("host", "list", "--label", label).stdout
    corral("host", "label", "host-a", f"{label}-", "other-")
    assert corral("host", "list", "--label", label, "-o", "name").stdout == ""
    assert "is not a label" in corral("host", "label", "host-a", "zone", code=2).stderr
    assert "a label's key" in corral("host", "label", "host-a", "a b=c", code=1).stderr


def test_vms_ask_for_hosts(corral: Run, client: Client) -> None:
    label, name = f"l{uuid.uuid4().hex[:8]}", f"vm-{uuid.uuid4().hex[:8]}"
    corral("host", "label", "host-b", f"{label}=x")
    asked = (
        "--hypervisor",
        "fake",
        "--require",
        label,
        "--prefer",
        f"{label}=x",
        "--apart-from-group",
        label,
        "--spread",
    )
    shown = corral("placement", "explain", *asked, "--vcpus", "2").stdout.splitlines()
    assert shown[1].split()[:4] == ["host-b", "yes", "fake", f"{label}=x"]
    assert shown[2].split()[:2] == ["host-a", "no"]
    assert shown[2].endswith(f"is not labelled {label}")
    corral("vm", "create", name, *asked)
    assert (client.vms.get(name).host, client.vms.get(name).placement) == (
        "host-b",
        {"require": [label], "prefer": [f"{label}=x"], "apart_from_group": label, "strategy": "spread"},
    )
    assert "host-b: has another VM of group" in corral("vm", "create", f"{name}-2", *asked, code=5).stderr
    assert corral("placement", "explain", *asked, "-o", "name").stdout == "host-a\nhost-b\n"
    assert "is not a term" in corral("placement", "explain", "--require", "zone>a", code=1).stderr
    corral("vm", "delete", name, "--yes")
    corral("host", "label", "host-b", f"{label}-")


def test_a_host_s_room_may_be_promised_often(corral: Run, client: Client) -> None:
    before = client.hosts.get("host-a")["capacity"]
    shown = json.loads(corral("host", "overcommit", "host-a", "--vcpus", "2", "--memory", "0.5", "-o", "json").stdout)
    assert shown["capacity"] == {**before, "vcpus": 2 * before["vcpus"], "memory_mb": before["memory_mb"] // 2}
    corral("host", "overcommit", "host-a", "--vcpus", "1", "--memory", "1")
    assert client.hosts.get("host-a")["capacity"] == before
    assert "overcommit.vcpus" in corral("host", "overcommit", "host-a").stdout
    assert "must be at most 64" in corral("host", "overcommit", "host-a", "--disk", "65", code=1).stderr


def test_login_keeps_a_key_and_no_password(fleet: Fleet, config: Path, corral: Run) -> None:
    config.unlink()
    assert "corral login" in corral("vm", "list", code=4).stderr
    kept = fleet.credentials
    corral("login", fleet.url, "--username", kept.username, "--context", "mine", given=f"{kept.password}\n")
    assert kept.password not in config.read_text()
    assert config.stat().st_mode & 0o777 == 0o600
    assert "mine" in corral("context", "list").stdout
    corral("vm", "list")
    key = json.loads(config.read_text())["contexts"]["mine"]["token"]
    corral("logout")
    corral("vm", "list", code=4)
    refused = corral("login", fleet.url, "--token-stdin", given=f"{key}\n", code=4)
    assert key not in refused.output


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("vm", "resize", "x"), 2, "nothing to change"),
        (("vm", "create", "UPPER CASE"), 1, "name"),
        (("vm", "create", "x", "--vcpus", "many"), 2, "not a valid integer"),
        (("vm", "start", "x", "--context", "nowhere"), 4, "there is no context 'nowhere'"),
        (("vm", "exec", "-e", "nonsense", "x", "true"), 2, "is not NAME=VALUE"),
        (("api", "POST", "/vms", "-d", "{"), 2, "is not JSON"),
        (("op", "wait", "op-none"), 3, "not found"),
        (("login", "ftp://x"), 2, "is not a URL"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_what_is_wrong_is_said(corral: Run, words: tuple[str, ...], code: int, says: str) -> None:
    assert says in corral(*words, code=code).stderr


def test_nobody_answers(corral: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORRAL_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("CORRAL_TOKEN", "corral_x")
    assert "127.0.0.1:1 does not answer" in corral("vm", "list", code=7).stderr


def test_debug_shows_the_request(corral: Run) -> None:
    assert "request: " in corral("vm", "show", "none", "--debug", code=3).stderr


def test_shells_complete_the_names_of_vms(logged_in: Path, vm: str) -> None:
    words = {"COMP_WORDS": f"corral vm start {vm[:6]}", "COMP_CWORD": "3", "_CORRAL_COMPLETE": "bash_complete"}
    done = subprocess.run(
        [sys.executable, "-c", "from cli.main import main; main(prog_name='corral')"],
        env={**os.environ, **words},
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"plain,{vm}" in done.stdout.split(), done.stderr


def test_accounts(fleet: Fleet, corral: Run, config: Path) -> None:
    name = f"user-{uuid.uuid4().hex[:8]}"
    corral("user", "register", name, given="a good password\na good password\n")
    corral("user", "disable", name)
    refused = corral("login", fleet.url, "-u", name, "--context", "x", given="a good password\n", code=4)
    assert "a good password" not in refused.output
    corral("user", "enable", name)
    corral("user", "revoke-tokens", name)
    corral("login", fleet.url, "-u", name, "--context", "x", given="a good password\n")
    corral("user", "password", given="a good password\na better password\na better password\n")
    corral("login", fleet.url, "-u", name, "--context", "y", given="a better password\n")
    corral("user", "disable", name, code=4)
    assert json.loads(config.read_text())["current"] == "y"


def test_disks_that_are_kept(corral: Run, vm: str) -> None:
    name = f"{vm}.img"
    corral("vm", "disk", "attach", vm, name, "--port", "1", "--size", "1")
    (medium,) = [each for each in json.loads(corral("media", "list", "-o", "json").stdout) if each["name"] == name]
    corral("media", "delete", medium["id"], code=5)
    corral("vm", "delete", "--yes", vm)
    assert name in corral("media", "show", medium["id"]).stdout
    corral("media", "delete", medium["id"])
    corral("media", "show", medium["id"], code=3)
