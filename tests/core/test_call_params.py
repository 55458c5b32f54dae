"""Each verb of a call: what it asks goes through JSON and back, and what is wrong in it is named."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import to_builtins

from core.contract.calls import CALLS
from core.contract.described import DescribeReply
from core.contract.errors import Invalid, Unavailable
from core.contract.failures import result_of
from core.contract.messages import Addressed, Call, Reply, VmSpec, call, decode, encode

VM = VmSpec("vm-1", "web", "fake", "linux", 1, 256, 4)
LINE: dict[str, Any] = {"command": "true", "working_directory": "/", "environment": {"A": "b"}}
LINE |= {"timeout_seconds": 5.0, "stdin_b64": "aGk="}
EXEC: dict[str, Any] = {"id": "0af-1", "command": "true", "started_at": 1.0, "name": None, "timeout_seconds": 5.0}
EXEC |= {"working_directory": None, "state": "exited", "exit_code": 0, "signal": None, "ended_at": 2.0, "tty": True}
SAMPLE: dict[str, Any] = {"vm_id": "vm-1", "vcpus": 1, "cpu_seconds": None, "memory_bytes": 1, "disk_bytes": 1}
DISK: dict[str, Any] = {"controller": "SATA", "port": 0, "device": 0, "type": "hdd", "medium": "a", "size_bytes": 1}
DISK |= {"used_bytes": None, "format": "vdi", "own": True}
ADAPTER: dict[str, Any] = {"slot": 0, "enabled": True, "mode": "nat", "type": "virtio", "cable_connected": True}
ADAPTER |= {"mac_address": None, "network": None}
FILE: dict[str, Any] = {"path": "/a", "kind": "file", "size_bytes": 1, "permissions": 420, "modified_at": 1.0}
SEEN: dict[str, Any] = {"vm_id": "vm-1", "state": "running", "started_at": 1.0, "pid": 2, "reason": None}
SEEN |= {"facts": {"restores": 1, "vcpus": 2, "memory_mb": 512, "acceleration": None}}
TRAFFIC = {"bytes_in": 1, "bytes_out": 2, "packets_in": None, "packets_out": 4, "source": "tap"}
DISK_IO = {"read_bytes": 1, "written_bytes": 2, "reads": 3, "writes": 4}
INTERFACE = {"name": "eth0", "mac_address": "52:54:00:00:00:01", "addresses": ["10.0.2.15"]}
DONE: dict[str, Any] = {"exit_code": 1, "stdout_b64": "", "stderr_b64": "", "execution_time_seconds": 0.5}
DONE |= {"truncated": False, "output_limit_bytes": 5}
MOVED: dict[str, Any] = {"name": "disk", "size_bytes": 9, "sha256": "a", "extents": [(0, 5)]}
GOOD: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "execute": (LINE, DONE),
    "exec_begin": (LINE | {"id": "0af-1", "name": "job", "tty": {"rows": 24, "columns": 80}}, EXEC),
    "exec_list": ({"limit": 5, "offset": 0, "state": "running"}, {"execs": [EXEC], "total": 1}),
    "exec_get": ({"id": "0af-1"}, EXEC),
    "exec_output": (
        {"id": "0af-1", "offsets": {"stdout": 5}, "limit": 100},
        {"stderr": {"data_b64": "aGk=", "offset": 5, "ended": True}},
    ),
    "exec_type": ({"id": "0af-1", "data_b64": "aGk="}, {}),
    "exec_resize": ({"id": "0af-1", "size": {"rows": 1, "columns": 65535}}, {}),
    "exec_signal": ({"id": "0af-1", "signal": "KILL"}, EXEC),
    "exec_delete": ({"id": "0af-1"}, {}),
    "guest_credentials": ({"username": "root", "password": "x"}, {}),
    "observe": ({}, SEEN),
    "measure": (
        {},
        {"sample": SAMPLE | {"age_seconds": 0.0}, "cpu_percent": 1.5, "network": TRAFFIC, "disk_io": DISK_IO}
        | {"guest": {"cpu": {"usage_percent": 5.0}, "memory": None, "file_systems": []}, "unknown": {"memory": "why"}},
    ),
    "network": ({}, {"interfaces": [INTERFACE]}),
    "disks": ({}, {"disks": [DISK]}),
    "adapters": ({}, {"adapters": [ADAPTER]}),
    "console": ({"stream": "s", "write": True, "replay": False, "after": {"log": "1", "position": 5}}, {}),
    "file_write": ({"stream": "s", "path": "/a"}, {}),
    "file_read": ({"stream": "s", "path": "/a"}, {}),
    "file_list": ({"path": "/", "recursive": True, "most": 5}, {"entries": [FILE], "truncated": False}),
    "moved_file": ({"stream": "s", "file": MOVED, "first": 3, "length": 2}, {}),
    "cancel": ({"operation_id": "op-1"}, {"state": "cancelled"}),
    "report": ({"operation_id": "op-1"}, {"state": "finished"}),
    "abandon": ({"call_id": "c-1"}, {"abandoned": True}),
    "medium_delete": ({"id": "disk-1"}, {}),
    "image_pull": (
        {"name": "web", "digest": f"sha256:{'a' * 64}", "seconds": 60.0},
        {"here": False, "step": "pulling", "percent": 40, "error_code": "", "error": ""},
    ),
    "secret_make": ({"rotation": "rot-1", "secret_sha256": "a" * 64}, {"secret_sha256": "b" * 64}),
    "secret_use": ({"rotation": "rot-1", "secret_sha256": "a" * 64}, {}),
    "describe": (
        {"vm_id": "vm-1"},
        to_builtins(
            DescribeReply(
                name="web",
                hypervisor="qemu",
                os_type="linux",
                image="linux-default",
                vcpus=1,
                memory_mb=256,
                disk_gb=4,
                state="running",
            )
        ),
    ),
}
NEVER: list[Any] = [[], [[]], {"stdout": -1, "log": 5}, -1]


def wire(verb: Any, params: Any) -> str:
    sent = {"id": "c", "verb": verb, "reply_to": "r", "deadline_at": 1.0, "vm": None, "params": params}
    return json.dumps(sent | {"reply_key": "k"})


def test_each_verb_is_here() -> None:
    assert set(GOOD) == set(CALLS)


@pytest.mark.parametrize("verb", CALLS)
def test_a_call_and_its_answer_go_through_json_and_back(verb: str) -> None:
    params, answer = GOOD[verb]
    sent = call("c", verb, "r", 1.0, VM, params | {"not for the host": 1}, "k")
    read = decode(Call, encode(sent))
    assert (read, read.verb, to_builtins(read.params)) == (sent, verb, params)
    assert decode(Call, wire(verb, params | {"new": [{}]})).params == sent.params
    reply = decode(Reply, encode(Reply("c", answer | {"new": 1})))
    assert result_of(reply, verb) == answer


@pytest.mark.parametrize(("verb", "name"), [(verb, name) for verb, (asked, _) in GOOD.items() for name in asked])
def test_what_is_wrong_in_a_question_is_named(verb: str, name: str) -> None:
    for wrong in NEVER:
        with pytest.raises(Invalid, match=rf"\.params\.{name}|{name} is not base64"):
            decode(Call, wire(verb, GOOD[verb][0] | {name: wrong}))
        with pytest.raises(Invalid, match=name):
            call("c", verb, "r", 1.0, VM, GOOD[verb][0] | {name: wrong})


@pytest.mark.parametrize(("verb", "name"), [(verb, name) for verb, (_, told) in GOOD.items() for name in told])
def test_what_is_wrong_in_an_answer_is_named(verb: str, name: str) -> None:
    with pytest.raises(Unavailable, match=name):
        result_of(Reply("c", GOOD[verb][1] | {name: [[5]]}), verb)


@pytest.mark.parametrize(
    ("verb", "params"),
    [
        ("execute", LINE | {"stdin_b64": "?"}),
        ("exec_get", {"id": ""}),
        ("exec_get", {"id": "0" * 65}),
        ("exec_get", {"id": "../x"}),
        ("exec_output", {"id": "0", "offsets": {}, "limit": 0}),
        ("exec_output", {"id": "0", "offsets": {}, "limit": 2**20 + 1}),
        ("exec_output", {"id": "0", "offsets": {"stdout": 2**70}, "limit": 1}),
        ("exec_begin", LINE | {"id": "0", "tty": {"rows": 0, "columns": 80}}),
        ("exec_resize", {"id": "0", "size": {"rows": 24, "columns": 65536}}),
        ("exec_type", {"id": "0", "data_b64": "a" * (64 * 1024 + 4)}),
        ("guest_credentials", {"username": "x" * 300, "password": "x"}),
        ("file_read", {"stream": "s", "path": ""}),
        ("console", {"stream": "s", "write": 1, "replay": False}),
        ("cancel", {}),
    ],
)
def test_what_is_out_of_bounds(verb: str, params: Any) -> None:
    with pytest.raises(Invalid, match="params"):
        decode(Call, wire(verb, params))


@pytest.mark.parametrize("verb", ["", "reboot", None, 1, [], {}])
def test_of_an_unknown_verb_it_is_known_who_waits(verb: Any) -> None:
    with pytest.raises(Invalid, match="verb"):
        decode(Call, wire(verb, {}))
    who = decode(Addressed, wire(verb, {}))
    assert (who.id, who.reply_to, who.reply_key) == ("c", "r", "k")
