"""What a test needs, by the folder it is in: its marker, and the group of tests that it shares servers or a guest with.

`unit`: nothing but this process. `server`: PostgreSQL, Redis or processes of ours. `guest`: boots a guest, or has
VBoxManage at work. `lab`: the lab's hosts. A folder that isn't named below is told by the fixtures that its tests use.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

MARKERS = {
    "unit": "needs nothing but the test's own process",
    "server": "needs PostgreSQL, Redis or processes of ours",
    "guest": "boots a guest, or has VBoxManage at work",
    "lab": "boots the lab's hosts",
}
# The longest path that a test's own begins with.
FOLDERS = {
    "agent": "server",
    "clients": "server",
    "cloud_hypervisor": "guest",
    "console": "guest",
    "contract": "guest",
    "deploy": "server",
    "documents": "guest",
    "faults": "server",
    "faults/test_guests.py": "guest",
    "fleet": "server",
    "image": "guest",
    "images": "server",
    "images/test_collecting.py": "unit",
    "images/test_guest.py": "guest",
    "lab": "lab",
    "network": "server",
    "clients/test_page.py": "server",
    "clients/test_unpacking.py": "unit",
    "network/test_guest.py": "guest",
    "network/test_reach.py": "guest",
    "network/test_rules.py": "unit",
    "qemu": "guest",
    "virtualbox": "guest",
    "suite": "server",
    "workers": "server",
}
# Fixtures that start a server; `vboxmanage` starts VirtualBox's.
_SERVERS = {"postgres", "redis", "own_redis", "fleet"}
# Folders in which all tests that use a fleet use the same one.
_ONE_FLEET = {"api", "clients"}
# Files whose tests take long enough to be worth another fleet each, in another process.
APART = {"api/test_conformance.py"}
_TESTS = Path(__file__).parents[1]


def tier(item: pytest.Item) -> str:
    """One of the markers."""
    path = _place(item).as_posix()
    driver = _driver(item)
    if driver:
        return "unit" if driver == "fake" else "guest"
    fitting = [folder for folder in FOLDERS if path == folder or path.startswith(f"{folder}/")]
    if fitting:
        return FOLDERS[max(fitting, key=len)]
    fixtures = set(getattr(item, "fixturenames", ()))
    return "guest" if "vboxmanage" in fixtures else "server" if fixtures & _SERVERS else "unit"


def group(item: pytest.Item) -> str:
    """Tests of one group run in one process, one after the other: they share what is dear to make."""
    path = _place(item)
    driver, folder = _driver(item), path.parts[0]
    if tier(item) == "lab":
        return "lab"
    if path.as_posix() in APART:
        return f"{tier(item)}:{folder}/{item.name}"
    if folder in _ONE_FLEET and "fleet" in getattr(item, "fixturenames", ()):
        return f"{tier(item)}:{folder}/fleet"
    name = f"{tier(item)}:{path.with_suffix('').as_posix().replace('/test_', '/')}"
    return f"{name}/{driver}" if driver else name


def _place(item: pytest.Item) -> Path:
    """Below the folder of all tests, where it is there."""
    return item.path.relative_to(_TESTS) if item.path.is_relative_to(_TESTS) else Path(item.path.name)


def _driver(item: pytest.Item) -> str:
    """The driver that a test of the drivers' contract is about."""
    callspec = getattr(item, "callspec", None)
    return str(callspec.params.get("bench", "")) if callspec else ""


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """The markers exist here alone."""
    for name, meaning in MARKERS.items():
        config.addinivalue_line("markers", f"{name}: {meaning}")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Generator[None, None, None]:
    """Before `-m` chooses among them."""
    for item in items:
        item.add_marker(tier(item))
    return (yield)
