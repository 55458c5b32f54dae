"""`--beside COMMAND`: runs while the tests do and counts as one; what it printed comes before the closing line."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Generator

import pytest


class Beside:
    """The command, in a process group of its own."""

    def __init__(self, command: str) -> None:
        self._command = command
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - open until the end of the run
        self._began = time.monotonic()
        self._process: subprocess.Popen[bytes] | None = None

    def pytest_sessionstart(self) -> None:
        """Before the tests are collected."""
        self._process = subprocess.Popen(
            ["sh", "-c", self._command], stdout=self._log, stderr=subprocess.STDOUT, start_new_session=True
        )

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Waits for its end, when the tests have ended."""
        done = yield
        assert self._process is not None
        code = self._process.wait()
        report = pytest.TestReport(
            nodeid=self._command,
            location=("", None, self._command),
            keywords={},
            outcome="failed" if code else "passed",
            longrepr=f"it ended with {code}; what it printed is shown below" if code else None,
            when="call",
            duration=time.monotonic() - self._began,
        )
        session.config.hook.pytest_runtest_logreport(report=report)
        return done

    @pytest.hookimpl(tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """All of it."""
        self._log.seek(0)
        terminalreporter.section(self._command)
        terminalreporter.write_line(self._log.read().decode(errors="replace"))

    def pytest_unconfigure(self) -> None:
        """Of a run that was cut off nothing is left behind."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGINT)
            self._process.wait()
        self._log.close()


def pytest_addoption(parser: pytest.Parser) -> None:
    """A line of shell."""
    parser.addoption("--beside", metavar="COMMAND", help="run that, too, and count it as a test")


def pytest_configure(config: pytest.Config) -> None:
    """Once, however many processes run tests."""
    command = config.getoption("beside")
    if command and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Beside(command))
