"""One log format for every process."""

from __future__ import annotations

import logging
import sys


def setup(process: str, level: str) -> None:
    """Log lines to standard error, each with the time, the process and the module."""
    logging.basicConfig(
        level=level,
        stream=sys.stderr,
        force=True,
        format=f"%(asctime)s %(levelname)-7s {process} %(name)s: %(message)s",
    )
