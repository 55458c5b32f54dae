"""Consoles over the vboxmcp dialect's socket."""

from __future__ import annotations

import base64

import pytest

from tests.console.conftest import ALONE, BOOTED, FAKE, GUEST, Operator, Talk
from tests.support.clients import new_key
from tests.support.waiting import until


def test_a_console_both_ways(caller: Operator, talk: Talk) -> None:
    talk.send("console_connect", vm_id=GUEST)
    connected = talk.next()
    assert (connected["type"], connected["name"], connected["writable"]) == ("console_connected", GUEST, True)
    caller.run(f"{ALONE}; (head -c 3 /dev/ttyS0 | od -An -tx1 >/dev/ttyS0) >/dev/null 2>&1 &")
    talk.send("console_input", vm_id=GUEST, data=base64.b64encode(b"\x00\xffz").decode())
    talk.read_until(b"00 ff 7a")


def test_text_is_for_people(talk: Talk) -> None:
    talk.send("console_connect", vm_id=FAKE, encoding="utf-8", read_only=True)
    assert talk.next()["encoding"] == "utf-8"
    talk.read_until(b"the fake VM is running")
    talk.send("console_disconnect", vm_id=FAKE)
    talk.send("console_input", vm_id=FAKE, data="x")
    assert talk.next()["error"]["code"] == "invalid_request"


def test_output_is_an_event_that_can_be_subscribed_to(caller: Operator, talk: Talk) -> None:
    talk.send("subscribe", events=["vm.state_changed", "vm.console_output"])
    assert talk.next()["events"] == ["vm.console_output", "vm.state_changed"]

    def told() -> bool:
        """Again, if it was said before the console was followed."""
        caller.run("while ! echo told to all; do :; done >/dev/ttyS0")
        return talk.has(b"told to all")

    until(told)
    assert BOOTED not in talk.output
    caller.call("POST", "/vms", {"name": "late", "hypervisor": "fake"})
    caller.call("POST", "/vms/late/start")
    caller.call("POST", "/vms/late/restart")
    caller.call("DELETE", "/vms/late")


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({}, "invalid_request"),
        ({"vm_id": None}, "invalid_request"),
        ({"vm_id": 7}, "invalid_request"),
        ({"vm_id": "nobody"}, "vm_not_found"),
        ({"vm_id": GUEST, "encoding": "latin-1"}, "invalid_request"),
        ({"vm_id": GUEST, "read_only": "yes"}, "invalid_request"),
    ],
)
def test_what_cannot_be_connected_is_said(talk: Talk, message: dict[str, object], code: str) -> None:
    talk.send("console_connect", **message)
    assert talk.next()["error"]["code"] == code


@pytest.mark.parametrize("data", [None, 7, "not base64!", ["x"]])
def test_what_cannot_be_typed_is_said(talk: Talk, data: object) -> None:
    talk.send("console_connect", vm_id=FAKE)
    assert talk.next()["type"] == "console_connected"
    talk.send("console_input", vm_id=FAKE, data=data)
    assert talk.next()["error"]["code"] == "invalid_request"


def test_who_may_only_read_may_only_look(caller: Operator) -> None:
    talk = caller.socket(new_key(caller.client, "read")["X-API-Key"])
    talk.send("console_connect", vm_id=GUEST)
    assert talk.next()["writable"] is False
    talk.send("console_input", vm_id=GUEST, data="eA==")
    assert talk.next()["error"]["code"] == "forbidden"
    talk.socket.close()
