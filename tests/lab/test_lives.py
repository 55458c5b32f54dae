"""A VM's life on real VirtualBox and on real KVM, through one API and one set of expectations."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from cli.lab import recipe
from core.contract.errors import CorralError

if TYPE_CHECKING:
    from tests.lab.conftest import Guest

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1200)]
BOOT_SECONDS = 400.0
ANSWER_SECONDS = 60.0
SPAN = 4
STOP_SECONDS = 120


@pytest.fixture(scope="module")
def lives(guests: dict[str, Guest]) -> Iterator[dict[str, Future[None]]]:
    """All at once: none takes another host's time."""
    with ThreadPoolExecutor() as pool:
        yield {host: pool.submit(_live, guest) for host, guest in guests.items()}


@pytest.mark.parametrize("host", list(recipe.HOSTS))
def test_a_life(lives: dict[str, Future[None]], host: str) -> None:
    lives[host].result()


def _live(guest: Guest) -> None:
    guest.until("running", BOOT_SECONDS)
    with guest.console() as console:
        with guest.step(f"the boot of {guest.host}'s guest"):
            console.until(lambda seen: b"lab-guest: up after" in seen, BOOT_SECONDS)
        with guest.step("typing on its console"):
            console.type("hello\n")
            console.until(lambda seen: b"lab-guest: heard hello" in seen, ANSWER_SECONDS)
        if guest.hypervisor == "qemu":
            guest.execute("echo before > /tmp/word")

        guest.change("POST", "/pause")
        assert console.stands(SPAN), "a paused guest went on counting"
        guest.inside("resume")
        guest.until("running")

        before = console.count()
        guest.change("POST", "/snapshots", {"name": "good", "include_memory": True})
        taken = console.count()
        with guest.step("going on after the snapshot"):
            while console.count() < taken + SPAN:
                pass
        if guest.hypervisor == "qemu":
            guest.execute("echo after > /tmp/word")
        guest.change("POST", "/snapshots/good/restore")
        guest.until("running")
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


def test_the_hosts_are_what_they_say(guests: dict[str, Guest]) -> None:
    """Neither emulates: what was seen above was VirtualBox's own and KVM's work."""
    client = next(iter(guests.values())).client
    hosts = {host["name"]: host["hypervisors"][0] for host in client.request("GET", "/hosts")["hosts"]}
    assert (hosts["lab-kvm"]["name"], hosts["lab-kvm"]["acceleration"]) == ("qemu", "kvm")
    assert (hosts["lab-vbox"]["name"], hosts["lab-vbox"]["version"][:2]) == ("virtualbox", "7.")
