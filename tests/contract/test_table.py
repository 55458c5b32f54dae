"""docs/drivers.md: every verb, and which drivers have it. `python -m tests.contract.test_table` writes it anew.

It is made from what the drivers promise and from where tests ask for it, so that it can't be wrong.
"""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path

from agent.drivers import offers
from agent.drivers.base import Driver
from agent.drivers.registry import CLASSES

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs/drivers.md"
# The fake one has no hypervisor.
NAMES = {"qemu": "QEMU", "cloud-hypervisor": "Cloud Hypervisor", "virtualbox": "VirtualBox"}
# Where the contract tests run it on the real program, with guests that run.
REAL = {
    "qemu": "emulated in `make test`, with KVM in the lab",
    "cloud-hypervisor": "in `make test` without running guests, and on a double; most of a VM's life in the lab",
    "virtualbox": "in `make test` real VBoxManage without running VMs; a VM's life in the lab",
}
# What no contract test asks for: how it is done, or whether at all, is one driver's own.
ELSEWHERE = {
    "console": "tests/console",
    "set_guest_credentials": "tests/virtualbox",
    "sweep_guests": "tests/qemu",
}
HEAD = """# Verbs of the drivers

What each driver can do, verb by verb. `python -m tests.contract.test_table` generates this page, and a test fails when
it is out of date. Each "yes" is tested: by contract tests, which are the same for all drivers, in the files of the last
column, or by the driver's own tests in that folder.

"""


def verbs_of(group: type) -> list[str]:
    """What it has, by its own words."""
    return [name for name, _ in inspect.getmembers(group, inspect.isfunction) if not name.startswith("_")]


def files_with(verb: str) -> Iterator[str]:
    """The files of contract tests in which a driver is asked to do that."""
    for path in sorted(HERE.glob("test_*.py")):
        nodes = ast.walk(ast.parse(path.read_text()))
        if any(isinstance(node, ast.Attribute) and node.attr == verb for node in nodes):
            yield path.name


def page() -> str:
    """All of it."""
    drivers = {}
    for name in NAMES:
        module, _, kind = CLASSES[name].rpartition(".")
        drivers[name] = getattr(importlib.import_module(module), kind)
    lines = [f"| verb | {' | '.join(NAMES.values())} | tests |", "|---" * (len(NAMES) + 2) + "|"]
    groups: dict[type, str | None] = {Driver: None}
    groups |= {group: capability for group, (capability, _) in offers._GROUPS.items()}
    for group, capability in groups.items():
        for verb in verbs_of(group):
            has = [hasattr(each, verb) and capability in (None, *each.capabilities) for each in drivers.values()]
            cells = " | ".join("yes" if each else "" for each in has)
            lines.append(f"| `{verb}` | {cells} | {', '.join(files_with(verb)) or ELSEWHERE[verb]} |")
    real = "".join(f"- {NAMES[name]}: {where}\n" for name, where in REAL.items())
    return f"{HEAD}{chr(10).join(lines)}\n\nHow the contract tests run:\n\n{real}"


def test_the_page_is_what_the_drivers_do() -> None:
    assert PAGE.read_text() == page(), "write it anew: python -m tests.contract.test_table"


def test_every_verb_has_contract_tests() -> None:
    groups = [Driver, *offers._GROUPS]
    untested = {verb for group in groups for verb in verbs_of(group) if not list(files_with(verb))}
    assert untested == set(ELSEWHERE)
    for verb, folder in ELSEWHERE.items():
        assert any(verb in path.read_text() for path in (HERE.parents[1] / folder).glob("*.py")), verb


if __name__ == "__main__":
    PAGE.write_text(page())
