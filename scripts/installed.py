"""Installs a wheel in an empty environment away from any checkout, and runs it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import requests

from cli.fleet import ports
from cli.fleet.files import tail

INSTALL_SECONDS, READY_SECONDS, END_SECONDS, ASK_SECONDS = 900, 180, 60, 10
READY, HEALTHY = "Corral is ready", "healthy"
# Files that only the wheel can have: the page, its scripts, and both pages of the API's documents.
PAGES = ("/", "/page/app.mjs", "/page/vendor/xterm.css", "/docs/microvm", "/docs/vboxmcp")

Say = Callable[[str], None]


class Failed(Exception):
    """What the wheel does not do where it is installed alone."""


def prove(wheel: Path, constraints: Path, version: str, folder: Path, say: Say) -> None:
    """Installs it into a new environment in `folder`, with pinned versions of what it needs, and runs it from there."""
    say("installing the wheel into an empty environment")
    environment, away = folder / "environment", folder / "away"
    folder.chmod(0o711)  # PostgreSQL's user must pass, where we are root
    away.mkdir(mode=0o711)
    _done([sys.executable, "-m", "venv", str(environment)], away)
    python, corral = environment / "bin" / "python", environment / "bin" / "corral"
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _done([*pip, "--constraint", str(constraints), str(wheel)], away)
    where = _done([str(python), "-c", "import core; print(core.__file__)"], away).strip()
    if not Path(where).is_relative_to(environment):
        raise Failed(f"what was to run from the wheel is imported from {where}")
    told = _done([str(corral), "--version"], away).strip()
    if told != f"corral {version}":
        raise Failed(f"corral --version says {told!r}, not 'corral {version}'")
    if "Run a whole fleet on this machine" not in _done([str(corral), "--help"], away):
        raise Failed("corral --help does not list corral up")
    _done([str(corral), "doctor", "--hypervisor", "fake"], away)
    say("running a fleet from it")
    _run_fleet(corral, away)
    say("the fleet was healthy, and has ended")


def _run_fleet(corral: Path, away: Path) -> None:
    """`corral up` with the fake driver, Flower and all, until it is healthy; then it ends, and all that it started."""
    log, url = away / "up.log", f"http://127.0.0.1:{(port := ports.choose())}"
    numbers = {"CORRAL_PORT": str(port), "CORRAL_FLOWER_PORT": str(ports.choose())}
    command = [str(corral), "up", "--hypervisor", "fake", "--agents", "1"]
    with log.open("wb") as out:
        up = subprocess.Popen(command, cwd=away, env=_bare(away) | numbers, stdout=out, stderr=out)
    started: list[psutil.Process] = []
    try:
        _wait_for(lambda: READY in log.read_text(), up, log, "is ready")
        started = psutil.Process(up.pid).children(recursive=True)
        _wait_for(lambda: _asked(f"{url}/api/v1/health").json()["status"] == HEALTHY, up, log, "is healthy")
        for page in PAGES:
            if not (answer := _asked(url + page)).ok:
                raise Failed(f"GET {page} is answered with {answer.status_code}: {answer.text[:300]}")
        up.send_signal(signal.SIGINT)
        if (code := up.wait(END_SECONDS)) != 0:
            raise Failed(f"corral up ended with {code}:\n{tail(log)}")
        if left := [process for process in started if _runs(process)]:
            raise Failed(f"corral up ended, and left {left}")
    except subprocess.TimeoutExpired:
        raise Failed(f"corral up did not end within {END_SECONDS} s of Ctrl-C:\n{tail(log)}") from None
    finally:
        if up.poll() is None:
            started += psutil.Process(up.pid).children(recursive=True)
        up.kill()
        for process in started:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        up.wait()


def _wait_for(true: Callable[[], bool], up: subprocess.Popen[bytes], log: Path, what: str) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not true():
        if up.poll() is not None:
            raise Failed(f"corral up ended with {up.returncode} before it {what}:\n{tail(log)}")
        if time.monotonic() > deadline:
            raise Failed(f"corral up never {what}, in {READY_SECONDS} s:\n{tail(log)}")
        time.sleep(0.2)


def _runs(process: psutil.Process) -> bool:
    """Whether it does; one that has ended, and that its new parent has not yet waited for, does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _asked(url: str) -> requests.Response:
    return requests.get(url, timeout=ASK_SECONDS)


def _bare(away: Path) -> dict[str, str]:
    """No settings of ours, no path to a checkout, and a home with nothing in it."""
    kept = (
        "PATH",
        "LANG",
        "LC_ALL",
        "TMPDIR",
        "PIP_",
        "SSL_CERT",
        "REQUESTS_CA",
        "HTTP",
        "http",
        "NO_PROXY",
        "no_proxy",
    )
    return {name: value for name, value in os.environ.items() if name.startswith(kept)} | {"HOME": str(away)}


def _done(command: list[str], away: Path) -> str:
    environment = _bare(away) | {"HOME": os.environ.get("HOME", str(away))}  # which may have pip's own settings
    done = subprocess.run(
        command, cwd=away, env=environment, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
    )
    if done.returncode != 0:
        what, said = " ".join(command[:4]), done.stdout[-2000:] + done.stderr[-2000:]
        raise Failed(f"{what} ended with {done.returncode}:\n{said}")
    return done.stdout
