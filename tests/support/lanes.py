"""Which process takes which group of tests: as many as there are processors boot guests, which take one each.

The others fill the time in which guests are waited for. A group that took long the last time is begun early.
Groups reach the scheduler in a file: it knows of a test its id alone, to which xdist 3.8 can't add them in pytest 9.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections import defaultdict
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

from tests.support import tiers

_PROCESSORS = os.cpu_count() or 1
_TIMES = "corral/seconds-of-groups"
_FILE = "corral_groups"


class Lanes(LoadScopeScheduling):  # type: ignore[misc]  # xdist ships no types
    """xdist's own scheduling of whole groups, but for what a group is, and which one comes next."""

    def __init__(self, config: pytest.Config, log: Producer, groups: Path, seconds: dict[str, float]) -> None:
        super().__init__(config, log)
        self._file, self._seconds = groups, seconds
        self.groups: dict[str, str] = {}

    def schedule(self) -> None:
        if not self.groups:
            self.groups = json.loads(self._file.read_text())
        super().schedule()

    def _split_scope(self, nodeid: str) -> str:
        return self.groups[nodeid]

    def _reschedule(self, node: WorkerController) -> None:
        if not node.shutting_down and self.workqueue and self._next(node) is None:
            node.shutdown()  # it still runs what it has
        elif self._pending_of(self.assigned_work[node]) <= 1:  # it begins a test only when it knows the one after it
            super()._reschedule(node)

    def _assign_work_unit(self, node: WorkerController) -> None:
        chosen = self._next(node)
        if chosen is not None:
            self.workqueue.move_to_end(chosen, last=False)
            super()._assign_work_unit(node)

    def _next(self, node: WorkerController) -> str | None:
        """The longest group that this process may take, in the given order where that isn't known."""
        boots = node in [each for each in self.nodes if not each.shutting_down][:_PROCESSORS]
        guests = [group for group in self.workqueue if boots and group.startswith("guest:")]
        others = [group for group in self.workqueue if not group.startswith("guest:")]
        return max(guests or others, key=lambda group: self._seconds.get(group, 0.0), default=None)


class Scheduled:
    """In the process that hands out the tests. Remembers how long groups took, in pytest's cache."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._lanes: Lanes | None = None
        self._took: dict[str, float] = defaultdict(float)
        handle, name = tempfile.mkstemp(prefix="corral-groups-")
        os.close(handle)
        self._groups = Path(name)

    def pytest_configure_node(self, node: WorkerController) -> None:
        """Says where the groups are to be written."""
        node.workerinput[_FILE] = str(self._groups)

    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Producer) -> Lanes:
        """Without known times, or when the order is to be a random one, groups come as they were collected."""
        config.option.loadscopereorder = False
        known = {} if config.getoption("shuffle") is not None else self._known()
        self._lanes = Lanes(config, log, self._groups, known)
        return self._lanes

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Each of a test's three parts."""
        if self._lanes is not None and report.nodeid in self._lanes.groups:
            self._took[self._lanes.groups[report.nodeid]] += report.duration

    def pytest_sessionfinish(self) -> None:
        """What did not run keeps its time."""
        self._groups.unlink(missing_ok=True)
        cache = getattr(self._config, "cache", None)  # not there with `-p no:cacheprovider`
        if cache is not None:
            cache.set(_TIMES, self._known() | dict(self._took))

    def _known(self) -> dict[str, float]:
        cache = getattr(self._config, "cache", None)
        return dict(cache.get(_TIMES, {})) if cache is not None else {}


class Told:
    """In a process that runs tests."""

    def __init__(self, groups: Path) -> None:
        self._groups = groups

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Before the scheduler is told that there are tests. All write the same."""
        unfinished = self._groups.with_name(f"{self._groups.name}.{os.getpid()}")
        unfinished.write_text(json.dumps({item.nodeid: tiers.group(item) for item in session.items}))
        unfinished.rename(self._groups)


def pytest_xdist_auto_num_workers() -> int:
    """For `-n auto`, which is asked before anything is configured."""
    return _PROCESSORS + 2


def pytest_configure(config: pytest.Config) -> None:
    """Nothing of it without `-n`."""
    if hasattr(config, "workerinput"):
        config.pluginmanager.register(Told(Path(config.workerinput[_FILE])))
    elif config.getoption("numprocesses", None):
        config.pluginmanager.register(Scheduled(config))
