"""`python -m bench`: all figures, or those of the parts that are named: `bench --help` lists them."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from bench import files, guests, http, snapshots, virtualbox
from bench import fleet as simulated
from bench.stats import Row
from cli.fleet.fleet import Fleet
from cli.fleet.plan import FleetPlan
from cli.fleet.share import Share
from core import settings


@contextmanager
def _fleet(hypervisor: str, *, agents: int = 2, workers: int = 1) -> Iterator[Fleet]:
    """A fleet in a folder of its own, without limits on the rate of requests."""
    no_limit = {"RATE_LIMIT_BURST": "100000000", "RATE_LIMIT_HOURLY": "100000000"}
    with tempfile.TemporaryDirectory(prefix="corral-bench-") as folder:
        Path(folder).chmod(0o711)
        plan = FleetPlan(
            home=Path(folder) / "home",
            images=settings.load().images,
            hypervisors=(hypervisor,),
            agents=agents,
            workers=workers,
            flower=False,
            image=hypervisor == "qemu" and agents > 0,
            share=Share(vcpus=64, memory_mb=32768, disk_gb=1000),
            environment=no_limit,
        )
        with Fleet(plan, say=_say) as fleet:
            os.environ["REDIS_URL"] = fleet.redis_url
            yield fleet


def _say(line: str) -> None:
    click.echo(f"  {line}", err=True)


def _many_hosts() -> Iterator[Row]:
    yield from simulated.all_of(lambda: _fleet("qemu", agents=0, workers=2), _say)


def _control() -> Iterator[Row]:
    with _fleet("fake") as fleet:
        from bench import control

        token = http.login(fleet.url, fleet.credentials.username, fleet.credentials.password)
        yield control.latency(fleet, token)
        yield control.throughput(fleet, token)
        yield from control.memory(fleet)
        yield control.listing(fleet, token)


def _guests() -> Iterator[Row]:
    with _fleet("qemu") as fleet:
        token = http.login(fleet.url, fleet.credentials.username, fleet.credentials.password)
        yield from guests.all_of(fleet, token)


def _snapshots() -> Iterator[Row]:
    with _fleet("qemu") as fleet:
        token = http.login(fleet.url, fleet.credentials.username, fleet.credentials.password)
        yield from snapshots.all_of(fleet, token)


def _files() -> Iterator[Row]:
    with _fleet("fake") as fleet:
        token = http.login(fleet.url, fleet.credentials.username, fleet.credentials.password)
        yield from files.gigabyte(fleet, token)
    with _fleet("qemu") as fleet:
        token = http.login(fleet.url, fleet.credentials.username, fleet.credentials.password)
        yield from guests.files_of(fleet, token)


def _page() -> Iterator[Row]:
    from bench import page

    with _fleet("fake") as fleet:
        yield from page.all_of(fleet)


_PARTS = {
    "control": _control,
    "fleet": _many_hosts,
    "guests": _guests,
    "snapshots": _snapshots,
    "files": _files,
    "page": _page,
    "virtualbox": virtualbox.all_of,
}


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(_PARTS)), metavar="[PART]...")
def main(names: tuple[str, ...]) -> None:
    """Measure the parts of that name, or all of them: control, fleet, guests, snapshots, files, page, virtualbox.

    A row is printed as soon as it is measured. The exit code is 1 when one does not reach what it should.
    """
    good = True
    click.echo(f"{'what':<42} {'measured':<40} {'to reach':<26}")
    for name in names or _PARTS:
        for row in _PARTS[name]():
            good = good and row.good
            mark = "" if row.good else "← not reached"
            click.echo(f"{row.what:<42} {row.measured:<40} {row.reach:<26} {mark}")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
