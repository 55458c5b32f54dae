"""A fleet on this machine, as a context manager: what `corral up` shows, and what tests and the demo run on."""

from __future__ import annotations

import os
import shlex
from contextlib import ExitStack
from typing import Self

from cli.fleet import accounts, commands, credentials, files, ports, readiness, servers
from cli.fleet.credentials import FleetCredentials
from cli.fleet.home import taken
from cli.fleet.plan import FleetPlan
from cli.fleet.processes import Process, stop_all
from cli.fleet.share import of_machine
from cli.fleet.watch import ProcessWatch, Say
from core import durable

# How long each of them may take to stop, in the order in which they do; a build that is cut off leaves mounts.
_GRACE = ((commands.IMAGE, 5.0), (commands.API, 4.0), ("", 6.0), ("redis", 2.0), ("postgres", 2.0))


class Fleet:
    """Runs a plan. Inside its `with` everything answers; what dies is started again unless it is on hold."""

    credentials: FleetCredentials

    def __init__(self, plan: FleetPlan, say: Say = lambda line: None) -> None:
        self.plan = plan
        self.home = plan.home
        self.url = self.flower_url = self.database_url = self.redis_url = ""
        self._say = say
        self._processes: dict[str, Process] = {}
        self._watch = ProcessWatch(say)
        self._held = ExitStack()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def process(self, name: str) -> Process:
        """One of: redis, postgres, api, worker (worker-2, ...), flower, and each host by its name."""
        return self._processes[name]

    def kill(self, name: str, *, hold: bool = False) -> None:
        """kill -9 of one process and its children; `hold`: it stays dead until `restart`."""
        if hold:
            self._watch.hold(name)
        self.process(name).kill()

    def restart(self, name: str) -> None:
        """Stops it if it runs, and starts it; from then on it is watched over (again)."""
        self._watch.hold(name)
        self.process(name).restart()
        self._watch.release(name)

    def start(self) -> None:
        """Returns when everything answers. `StartFailed` says what does not; then nothing is left running."""
        self._held.enter_context(taken(self.home))
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        began = readiness.now()
        self._choose_ports()
        self._start_servers()
        self.credentials = credentials.obtain(
            self.home, self.database_url, self.url, self.flower_url, self.plan.metrics_token
        )
        self._start_parts()
        readiness.wait(self.url, self.database_url, self.plan.host_names, began, self._parts(), self._say)
        self._watch.begin([process for name, process in self._processes.items() if name != commands.IMAGE])
        if commands.IMAGE in self._processes:
            build = self._processes[commands.IMAGE]
            readiness.wait_for_image(build, self.database_url, self.plan.host_names, self._say)
        credentials.keep(self.home, self.credentials)

    def _choose_ports(self) -> None:
        self._port = ports.choose_free("CORRAL_PORT", self.plan.port, self.plan.host)
        self.url = f"http://{ports.reachable(self.plan.host)}:{self._port}"
        if self.plan.flower:
            self._flower_port = ports.choose_free("CORRAL_FLOWER_PORT", self.plan.flower_port, "127.0.0.1")
            self.flower_url = f"http://127.0.0.1:{self._flower_port}"

    def _start_servers(self) -> None:
        """The image is begun first: it takes longest."""
        if self.plan.image:
            self._add(commands.IMAGE, commands.image(), {"CORRAL_IMAGES": str(self.plan.images)})
        ours = servers.planned(self.plan)
        self._processes |= {server.name: server for server in ours}
        for server in ours:
            files.set_aside(server.log)
        self._say("starting " + (" and ".join(server.name for server in ours) or "on the given servers"))
        servers.start(ours)
        self.database_url, self.redis_url = servers.addresses(self.plan, ours)
        servers.prepare(self.database_url, self.redis_url)

    def _start_parts(self) -> None:
        environment = self._environment()
        lines = [f"{name}={shlex.quote(value)}\n" for name, value in environment.items()]
        durable.write_private(self.home / "environment", "".join(lines))
        self._say(f"starting the API, {_some(self.plan.workers, 'worker')} and {_some(self.plan.agents, 'agent')}")
        share = self.plan.share or of_machine(self.home, self.plan.agents)
        urls = accounts.obtain(self.home, self.database_url, self.redis_url, self.plan.host_names)
        for name, forwards in zip(self.plan.host_names, self.plan.forward_ports, strict=True):
            own = environment | {"REDIS_URL": urls[name], "DATABASE_URL": "", "CORRAL_PUBLIC_URL": self.url}
            self._add(name, commands.agent(name, self.plan.hypervisors, share, forwards), own)
        for name in self.plan.worker_names:
            self._add(name, commands.worker(name), environment)
        self._add(commands.API, commands.api(), environment)
        if self.plan.flower:
            who = {"FLOWER_BASIC_AUTH": f"{self.credentials.username}:{self.credentials.password}"}
            self._add(commands.FLOWER, commands.flower(self._flower_port), environment | who)

    def _environment(self) -> dict[str, str]:
        return {
            "CORRAL_HOME": str(self.home),
            "CORRAL_IMAGES": str(self.plan.images),
            "CORRAL_BIND": self.plan.host,
            "CORRAL_PORT": str(self._port),
            "CORRAL_API_WORKERS": str(self.plan.api_workers),
            "CORRAL_METRICS_TOKEN": self.credentials.metrics_token,
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            **({"CORRAL_FAKE": "1"} if self.plan.fakes else {}),
            **self.plan.environment,
        }

    def _add(self, name: str, command: list[str], environment: dict[str, str]) -> None:
        log = self.home / "logs" / f"{name}.log"
        files.set_aside(log)
        own = {"CORRAL_METRICS_PORT": str(self.plan.metrics_ports.get(name, 0))}
        process = Process(name, command, log=log, environment={**os.environ, **environment, **own})
        self._processes[name] = process
        process.start()

    def _parts(self) -> list[Process]:
        return [process for name, process in self._processes.items() if name != commands.IMAGE]

    def stop(self) -> None:
        """Stops everything in order: who uses a server goes before it. VMs go on running."""
        try:
            self._watch.end()
            named = {name for name, _ in _GRACE}
            others = [process for name, process in self._processes.items() if name not in named]
            for name, seconds in _GRACE:
                stop_all(others if not name else [p for n, p in self._processes.items() if n == name], seconds)
        except BaseException:  # asked once more while stopping: at once, then
            for process in self._processes.values():
                process.kill()
            raise
        finally:
            self._held.close()


def _some(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
