"""Where CI is set, a test that is skipped for a reason that is not foreseen here has failed: something is missing."""

from __future__ import annotations

import os
import re
from collections.abc import Generator
from typing import Any

import pytest

# Parts of tests' ids, and of the reasons that they give: what no set-up of a test machine could change.
ALLOWED = {
    # The laws of all drivers are asked of each; what a driver says that it can't do, it need not do.
    "tests/contract/": "does not promise|does not resize VMs|takes vCPUs while a VM is off|can hold limits",
    # VirtualBox's kernel driver has no place in containers and guests without nested virtualization: the lab has it.
    "[virtualbox": "no VM of 'virtualbox' can be started here|VMs of 'virtualbox' have no guest here",
    # No Debian package has Cloud Hypervisor, nor has every machine the KVM that it needs; its double stands for it.
    "[cloud-hypervisor": "Cloud Hypervisor is not installed here|no VM of 'cloud-hypervisor' can be started here|"
    "VMs of 'cloud-hypervisor' have no guest here",
    "[double": "VMs of 'cloud-hypervisor' have no guest here",
    "tests/cloud_hypervisor/": "Cloud Hypervisor is not installed here",
    # The opposite: what is said where no VM can be started.
    "tests/virtualbox/": "a VM can be started here|VirtualBox can start VMs on this machine",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """CI is set by every service that has one, and by .ci/run."""
    parser.addoption(
        "--strict-skips",
        action="store_true",
        default=os.environ.get("CI", "") not in ("", "0", "false"),
        help="a skip that tests/support/skips.py does not foresee is a failure; so it is where CI is set",
    )


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Of a test, or of what it needs."""
    report = yield
    judge(item.config, report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, pytest.CollectReport, Any]:
    """Of a whole file."""
    report = yield
    judge(collector.config, report)
    return report


def judge(config: pytest.Config, report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turns an unexpected skip into a failure."""
    if not report.skipped or hasattr(report, "wasxfail") or not config.getoption("strict_skips"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if not foreseen(report.nodeid, reason):
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid} was skipped, which tests/support/skips.py does not foresee: {reason}"


def foreseen(test: str, reason: str) -> bool:
    """Whether that test may be skipped for that."""
    return any(part in test and re.search(why, reason) for part, why in ALLOWED.items())
