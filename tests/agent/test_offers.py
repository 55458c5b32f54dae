"""What drivers offer, and what is said of what they don't."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

import pytest

from agent.drivers import capabilities, offers
from agent.drivers.base import DriverFolders
from agent.drivers.capabilities.files import FileReading
from agent.drivers.capabilities.metrics import MetricsCapability
from agent.drivers.fake import FakeDriver
from agent.drivers.local.driver import LocalDriver
from agent.drivers.offers import offered
from core.contract.errors import Unsupported


def _groups() -> set[type]:
    """Every group of verbs in the tree."""
    modules = [
        importlib.import_module(f"{capabilities.__name__}.{each.name}")
        for each in pkgutil.iter_modules(capabilities.__path__)
    ]
    found = [(module.__name__, each) for module in modules for each in vars(module).values() if isinstance(each, type)]
    return {each for module, each in found if getattr(each, "_is_protocol", False) and each.__module__ == module}


def test_every_group_is_in_the_table() -> None:
    assert _groups() - set(offers._GROUPS) == {FileReading}


def test_the_verbs_are_offered_only_with_the_capability(tmp_path: Path) -> None:
    driver = FakeDriver(DriverFolders(tmp_path, tmp_path))
    assert offered(driver, MetricsCapability) is driver
    driver.capabilities = FakeDriver.capabilities - {"metrics"}
    with pytest.raises(Unsupported, match="driver 'fake' does not measure VMs"):
        offered(driver, MetricsCapability)


def test_a_capability_without_the_verbs_is_not_enough() -> None:
    class Boast:
        name, capabilities = "boast", frozenset({"metrics"})

    with pytest.raises(Unsupported, match="does not measure VMs"):
        offered(Boast(), MetricsCapability)  # type: ignore[arg-type]


def test_a_driver_of_local_processes_has_every_hook_or_is_none(tmp_path: Path) -> None:
    class Half(LocalDriver[None]):
        name = "half"

    with pytest.raises(TypeError, match=r"abstract methods .*known_by.* switch_on"):
        Half(DriverFolders(tmp_path, tmp_path))  # type: ignore[abstract]
