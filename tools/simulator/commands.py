"""`python -m tools.simulator`: simulated hosts for a real control plane."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
import tempfile
import time
from pathlib import Path

import click

from cli.fleet.accounts import address
from core import database, log, settings
from core.contract.errors import CorralError
from core.dispatch import Dispatch
from core.sealing import HostKey
from tools.simulator import population
from tools.simulator.agents import SimulatedAgent
from tools.simulator.host import SimulatedHost
from tools.simulator.population import Population

_CONNECTING = 32  # at once: each connection costs Redis a look at its users
_LEAVE_SECONDS = 10.0


@click.command()
@click.option("--hosts", type=click.IntRange(1, 5000), default=10, show_default=True, help="How many there are.")
@click.option("--vms", type=click.IntRange(0, 999), default=0, show_default=True, help="VMs on each from the start.")
@click.option("--prefix", default="sim", show_default=True, help="What their names begin with.")
@click.option("--hypervisor", default="qemu", show_default=True, help="What they say that they offer.")
@click.option("--image", default="linux-default", show_default=True, help="The image that they say they have.")
@click.option("--owner", default="admin", show_default=True, help="The user whose those VMs are.")
@click.option("--work-seconds", type=float, default=0.0, show_default=True, help="How long operations take at most.")
def simulator(hosts: int, vms: int, prefix: str, hypervisor: str, image: str, owner: str, work_seconds: float) -> None:
    """Serve as so many hosts, until Ctrl-C. SIGUSR1 starts all their agents anew.

    REDIS_URL says where the fleet is. With DATABASE_URL, the hosts are admitted as after a join, each with an account
    of its own, and the record knows their VMs; without, all come as the user of REDIS_URL, which is the control plane's
    own, and their VMs are orphans. A fleet of `corral up` has both in its file `environment`.
    """
    configured = settings.load()
    log.setup("simulator", configured.log_level)
    if not configured.redis_url:
        raise click.ClickException("REDIS_URL is not set: simulated hosts need the fleet's Redis")
    people = Population(hosts, vms, prefix)
    with tempfile.TemporaryDirectory(prefix="corral-simulator-") as folder:
        key = HostKey(Path(folder))  # of all of them
    try:
        urls = _urls(configured, people, owner=owner, hypervisor=hypervisor, image=image)
        simulated = [SimulatedHost(name, hypervisor, image, people.vms_of(name)) for name in people.names]
        asyncio.run(_serve([SimulatedAgent(host, urls[host.name], key, work_seconds) for host in simulated]))
    except CorralError as error:
        raise click.ClickException(error.message) from error


def _urls(
    configured: settings.Settings, people: Population, *, owner: str, hypervisor: str, image: str
) -> dict[str, str]:
    if not configured.database_url:
        click.echo("all hosts come as the user of REDIS_URL: DATABASE_URL is not set")
        return dict.fromkeys(people.names, configured.redis_url)
    secret = secrets.token_urlsafe(24)
    engine, dispatch = database.connect(configured.database_url, pool_size=1), Dispatch(configured.redis_url)
    try:
        population.record(engine, people, owner=owner, hypervisor=hypervisor, image=image)
        population.admit(engine, dispatch, people.names, secret)
    finally:
        engine.dispose()
        dispatch.close()
    return {name: address(configured.redis_url, name, secret) for name in people.names}


async def _serve(agents: list[SimulatedAgent]) -> None:
    """Until a signal ends it, or a host's name is another's."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    loop.add_signal_handler(signal.SIGUSR1, _boot, agents)
    gate, began = asyncio.Semaphore(_CONNECTING), time.monotonic()
    serving = [loop.create_task(agent.serve(gate)) for agent in agents]
    others = [loop.create_task(_greet(agents, began)), loop.create_task(_end(ended))]
    done, _ = await asyncio.wait([*serving, others[1]], return_when=asyncio.FIRST_COMPLETED)
    for task in (*serving, *others):
        task.cancel()
    for task in done:
        if isinstance(failed := task.exception(), ExceptionGroup):
            raise failed.exceptions[0]
    with contextlib.suppress(TimeoutError, OSError, CorralError):
        async with asyncio.timeout(_LEAVE_SECONDS):
            await asyncio.gather(*(agent.leave() for agent in agents))


def _boot(agents: list[SimulatedAgent]) -> None:
    for agent in agents:
        agent.boot()


async def _end(ended: asyncio.Event) -> None:
    await ended.wait()


async def _greet(agents: list[SimulatedAgent], began: float) -> None:
    await asyncio.gather(*(agent.serves.wait() for agent in agents))
    click.echo(f"{len(agents)} hosts serve ({time.monotonic() - began:.1f} s)")
