"""A VM's life, on whatever hypervisor: one set of expectations."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from core.contract.errors import CorralError

if TYPE_CHECKING:
    from tests.lab.conftest import LabVm

BOOT_SECONDS = 400.0
ANSWER_SECONDS = 60.0
SPAN = 4
STOP_SECONDS = 120


def live(guest: LabVm) -> None:
    """From its boot to its end."""
    guest.becomes("running", BOOT_SECONDS)
    with guest.console() as console:
        with guest.step(f"the boot of {guest.host}'s guest"):
            console.read_until(lambda seen: b"lab-guest: up after" in seen, BOOT_SECONDS)
        with guest.step("typing on its console"):
            console.type("hello\n")
            console.read_until(lambda seen: b"lab-guest: heard hello" in seen, ANSWER_SECONDS)
        if guest.hypervisor == "qemu":
            guest.execute("echo before > /tmp/word")

        guest.change("POST", "/pause")
        assert console.stands(SPAN), "a paused guest went on counting"
        guest.inside("resume")
        guest.becomes("running")

        before = console.count()
        guest.change("POST", "/snapshots", {"name": "good", "include_memory": True})
        taken = console.count()
        with guest.step("going on after the snapshot"):
            while console.count() < taken + SPAN:
                pass
        if guest.hypervisor == "qemu":
            guest.execute("echo after > /tmp/word")
        guest.change("POST", "/snapshots/good/restore")
        guest.becomes("running")
        again = console.fallen_to()
        assert before <= again, "the guest has booted again"
        assert again <= taken + 1, "the guest's memory is not that of the snapshot"
        if guest.hypervisor == "qemu":
            assert guest.execute("cat /tmp/word") == "before"
    began = time.monotonic()
    guest.change("POST", "/stop", {"timeout_seconds": STOP_SECONDS})
    assert time.monotonic() - began < STOP_SECONDS, "the guest did not shut down: its power was cut"
    assert guest.status() == "stopped"
    guest.change("DELETE", "")
    with pytest.raises(CorralError, match="404"):
        guest.status()
