"""Unless the settings say so, no VM is on the fake driver: not by its name, and not because nothing else is there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from core.settings import Settings
from tests.api.world import INVALID, VBOX_VM, VM, World, problem


@pytest.fixture
def real(world: World, settings: Settings) -> Iterator[World]:
    """The API of a fleet in earnest; the one host there is offers the fake driver all the same."""
    made = World(replace(settings, fake=False))
    yield made
    made.close()


@pytest.mark.parametrize(("dialect", "body"), [("microvm", VM), ("vboxmcp", VBOX_VM)])
def test_a_vm_is_not_placed_there(real: World, dialect: str, body: dict[str, object]) -> None:
    who = real.caller().headers(dialect)
    named = real.post("/vms", who, json=body | {"hypervisor": "fake"})
    assert named.status_code == INVALID[dialect]
    assert "must be one of cloud-hypervisor, qemu, virtualbox" in named.text
    refused = real.post("/vms", who, json=body)
    assert problem(refused)[0] == 409
    assert "does not offer" in refused.text
    assert "fake" not in refused.text


@pytest.mark.parametrize(("dialect", "body"), [("microvm", VM), ("vboxmcp", VBOX_VM)])
def test_it_is_where_the_settings_offer_it(world: World, dialect: str, body: dict[str, object]) -> None:
    who = world.caller().headers(dialect)
    assert world.post("/vms", who | {"Prefer": "respond-async"}, json=body | {"hypervisor": "fake"}).status_code == 202
