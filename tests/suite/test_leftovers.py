"""A run that is cut off leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support.waiting import until

ROOT = Path(__file__).parents[2]
_TEST = """
import subprocess
import time

def test_one_that_hangs(tmp_path):
    process = subprocess.Popen(["sleep", "600"], cwd=tmp_path, start_new_session=True)
    (tmp_path / "pid").write_text(str(process.pid))
    (tmp_path / "pid").rename(tmp_path / "begun")
    time.sleep(600)
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_what_a_test_has_begun_ends_with_a_run_that_is_cut_off(tmp_path: Path, how: signal.Signals) -> None:
    (tmp_path / "test_it.py").write_text(_TEST)
    command = [sys.executable, "-m", "pytest", "-n1", "-p", "tests.support.leftovers", "-p", "no:cacheprovider"]
    options = [f"--rootdir={tmp_path}", f"--basetemp={tmp_path / 'temp'}", str(tmp_path / "test_it.py")]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    run = subprocess.Popen(
        [*command, *options], cwd=tmp_path, env=environment | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL
    )
    try:
        pid = int(until(lambda: next(tmp_path.glob("temp/**/begun"), None)).read_text())
        run.send_signal(how)
        run.wait(60)
    finally:
        run.kill()
        run.wait()
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
