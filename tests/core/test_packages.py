"""The one list of Debian packages: what is in it, and that no text tells to install what is not."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from agent.network import namespaces
from core import packages

ROOT = Path(__file__).parents[2]
# VirtualBox's kernel driver comes as a package for each kernel; a program that a build misses has its package's name.
ELSEWHERE = {"virtualbox-dkms", "linux-headers-$", "it", "postgresql-client"}


def test_every_line_is_a_role_a_package_and_a_file_of_it() -> None:
    found = packages.read()
    assert len({package.name for package in found}) == len(found)
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9.+-]+", package.name) for package in found)
    assert [package.name for package in found if package.brings[0] not in "/@"] == []


def test_what_texts_tell_to_install_is_in_it() -> None:
    told = set(namespaces.PACKAGES.split())
    for part in ("agent", "api", "cli", "core", "tools", "workers"):
        for path in (ROOT / part).rglob("*.py"):
            for names in re.findall(r"apt-get install ([^\"',;(){}]+)", path.read_text()):
                told |= {name for name in names.split() if not name.startswith("--")}
    assert {"qemu-utils", "postgresql-15", "uidmap"} < told
    assert told - ELSEWHERE <= {package.name for package in packages.read()}


def test_the_setup_of_a_checkout_installs_all_but_what_is_for_some_machines() -> None:
    script = (ROOT / "scripts" / "setup").read_text()
    roles = {*re.findall(r"ROLES='([^']+)'", script)[0].split(), "dev"}
    assert {package.role for package in packages.read()} - roles == {"rootless", "virtualbox", "cloud-hypervisor"}
    function = next(line for line in script.splitlines() if line.startswith("packages_for()"))
    listed = subprocess.run(
        ["bash", "-c", f"{function}; packages_for control dev"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    wanted = [f"{each.name} {each.brings}" for each in packages.read() if each.role in ("control", "dev")]
    assert listed.stdout.splitlines() == wanted
