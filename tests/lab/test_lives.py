"""A VM's life on real VirtualBox and on real KVM, through one API and one set of expectations."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING

import pytest

from tools.lab import recipe

if TYPE_CHECKING:
    from tests.lab.conftest import LabVm

pytestmark = pytest.mark.timeout(1200)


@pytest.mark.parametrize("host", list(recipe.HOSTS))
def test_a_life(lives: dict[str, Future[None]], host: str) -> None:
    lives[host].result()


def test_the_hosts_are_what_they_say(guests: dict[str, LabVm]) -> None:
    """Neither emulates: what was seen above was VirtualBox's own and KVM's work."""
    client = next(iter(guests.values())).client
    hosts = {host["name"]: host["hypervisors"][0] for host in client.request("GET", "/hosts")["hosts"]}
    assert (hosts["lab-kvm"]["name"], hosts["lab-kvm"]["acceleration"]) == ("qemu", "kvm")
    assert (hosts["lab-vbox"]["name"], hosts["lab-vbox"]["version"][:2]) == ("virtualbox", "7.")
