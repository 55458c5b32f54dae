"""The Python packages that an agent needs, as one folder on its path."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from cli.image.log import Log
from tools.lab import recipe

TIMEOUT_SECONDS = 300


def build(site: Path, python: str, log: Log) -> None:
    """Write the folder `site` for that version of Python, by pip, from the pinned requirements."""
    wheels = ["--no-compile", "--only-binary=:all:", f"--python-version={python}"]
    options: list[str | Path] = ["--target", site, *wheels]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command = [*pip, *options, "--constraint", recipe.REQUIREMENTS, *recipe.AGENT_NEEDS]
    log.run(command, timeout=TIMEOUT_SECONDS, env=dict(os.environ))
