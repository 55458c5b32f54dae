"""Of a run that was cut off, by Ctrl-C or SIGTERM, nothing is left: xdist kills its processes, which then end nothing.

What runs in a folder of the run's is the run's, and so is a network namespace that has its mark in the name.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from pyroute2 import netns
from xdist.workermanage import WorkerController

_SECONDS = 10
RUNTIME = Path("/run")
_RUN = "PYTEST_XDIST_TESTRUNUID"  # xdist's own, in the processes that run tests


def mark() -> str:
    """Begins the names of what a run makes outside of its folders."""
    return f"corral-{os.environ.get(_RUN, '')[:8]}"


def namespace(role: str) -> str:
    """A name for a network namespace that no other test has."""
    return f"{mark()}-{secrets.token_hex(3)}-{role}"


class Leftovers:
    """In the process that hands out the tests."""

    def __init__(self, config: pytest.Config) -> None:
        self._config, self._mark = config, ""

    def pytest_configure_node(self, node: WorkerController) -> None:
        """Learns the mark that they have."""
        self._mark = f"corral-{node.workerinput['testrunuid'][:8]}-"

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        """All processes that run tests have ended."""
        left = list(_within(Path(self._config._tmp_path_factory.getbasetemp())))  # type: ignore[attr-defined]
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.terminate()
        for process in psutil.wait_procs(left, _SECONDS)[1]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        if self._mark:
            for name in netns.listnetns():
                if name.startswith(self._mark):
                    netns.remove(name)
            for folder in RUNTIME.glob(f"{self._mark}*"):
                shutil.rmtree(folder, ignore_errors=True)


def _within(folder: Path) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        try:
            places = [process.cwd(), *process.cmdline()]
        except psutil.Error:
            continue
        if any(f"{folder}/" in f"{place}/" for place in places) and process.pid != os.getpid():
            yield process


def pytest_configure(config: pytest.Config) -> None:
    """Nothing of it without `-n`, where every fixture ends what it began."""
    if not hasattr(config, "workerinput") and config.getoption("numprocesses", None):
        config.pluginmanager.register(Leftovers(config))
        signal.signal(signal.SIGTERM, signal.default_int_handler)
