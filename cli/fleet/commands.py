"""The command lines of the fleet's processes: one table."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from cli.fleet.share import Share
from core.contract import channels

API = "api"
FLOWER = "flower"
IMAGE = "image"


def api() -> list[str]:
    """The API; where it listens, and with how many workers, it reads from the environment."""
    return [sys.executable, "-m", "gunicorn", "--config=python:api.gunicorn"]


def worker(name: str) -> list[str]:
    """A worker of the control plane with its schedule."""
    options = ["--pool=threads", "--concurrency=4", f"--queues={channels.CONTROL_QUEUE}", f"--hostname={name}@%h"]
    quiet = ["--without-mingle", "--without-gossip", "--task-events", "--loglevel=INFO"]
    return [sys.executable, "-m", "celery", "--app=workers.app", "worker", *options, *quiet]


def agent(name: str, hypervisors: Sequence[str], share: Share, forward_ports: range) -> list[str]:
    """One host's agent."""
    offers = [f"--hypervisor={hypervisor}" for hypervisor in hypervisors]
    capacity = [f"--vcpus={share.vcpus}", f"--memory-mb={share.memory_mb}", f"--disk-gb={share.disk_gb}"]
    ports = f"--forward-ports={forward_ports[0]}-{forward_ports[-1]}"
    return [sys.executable, "-m", "agent", f"--name={name}", *offers, *capacity, ports]


def flower(port: int) -> list[str]:
    """Flower; who may enter it stands in its environment, as anyone may read a command line."""
    options = ["--address=127.0.0.1", f"--port={port}", "--persistent=False"]
    return [sys.executable, "-m", "workers.flower", *options]


def image() -> list[str]:
    """Builds the default image unless it is there."""
    return [sys.executable, "-m", "cli.main", "image", "build"]
