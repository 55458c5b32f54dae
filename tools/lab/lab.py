"""The lab as a context manager: a control plane here, and the hosts that have joined it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

from cli.client import FleetClient
from cli.fleet import accounts, files
from cli.fleet.fleet import Fleet
from cli.fleet.plan import FleetPlan
from cli.fleet.processes import StartFailed
from cli.fleet.share import Share
from tools.lab import build, recipe
from tools.lab.machines import LabMachine, NoAnswer

MACHINE = "10.0.2.2"  # as QEMU's user network calls the machine that it runs on
VCPUS, DISK_GB = 4, 6
JOIN_SECONDS = 480.0  # a boot is 10 s, a trial of KVM 30 s, when nobody else computes
LOOK_SECONDS = 1.0
SAY_SECONDS = 15.0
LOGS = "find /var/lib/corral/hosts -name '*.log' -exec tail -n 30 {} +"
_PLENTY = "1000000"


class Lab:
    """Inside its `with` every host is online and its hypervisors work."""

    def __init__(
        self, built: build.Built, home: Path, say: Callable[[str], None], hosts: Sequence[str] = tuple(recipe.HOSTS)
    ) -> None:
        self.home = home
        self.machines: dict[str, LabMachine] = {}
        self._built, self._say, self._names = built, say, hosts
        self.fleet = Fleet(
            FleetPlan(
                home=home / "fleet",
                images=home / "no-images",
                agents=0,
                share=Share(1, 1, 1),
                flower=False,
                durable=False,
                image=False,
                # Emulated hosts take their time, and that must not look like silence.
                environment={
                    "CORRAL_OFFLINE_AFTER": "90",
                    "CORRAL_RESEND_SECONDS": "30",
                    "RATE_LIMIT_BURST": _PLENTY,
                    "RATE_LIMIT_HOURLY": _PLENTY,
                },
            ),
            say=say,
        )

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Switches the hosts off, at once, then ends the control plane."""
        try:
            for machine in self.machines.values():
                machine.kill()
        finally:
            self.fleet.stop()

    def client(self) -> FleetClient:
        """The administrator's."""
        return FleetClient(self.fleet.url, self.fleet.credentials.username, self.fleet.credentials.password)

    def account(self) -> str:
        """The end of every log there is, for whoever has to find out what went wrong."""
        told = [f"=== {path}\n{files.tail(path)}" for path in sorted(self.home.glob("*/**/*.log"))]
        for machine in self.machines.values():
            try:
                told.append(f"=== inside {machine.name}\n{machine.run(LOGS)}")
            except NoAnswer as error:
                told.append(f"=== inside {machine.name}: {error.message}")
        return "\n".join(told)

    def _start(self) -> None:
        self.fleet.start()
        self._urls = accounts.obtain(self.home, self.fleet.database_url, self.fleet.redis_url, self._names)
        for name in self._names:
            host = recipe.HOSTS[name]
            self.machines[name] = LabMachine(host, self._built, self.home / name, self._environment(host))
            self.machines[name].start()
        self._wait()

    def _environment(self, host: recipe.LabHost) -> dict[str, str]:
        offers = [f"--hypervisor={hypervisor}" for hypervisor in recipe.offered(host)]
        capacity = [f"--vcpus={VCPUS}", f"--memory-mb={host.memory_mb // 2}", f"--disk-gb={DISK_GB}"]
        return {
            "REDIS_URL": self._urls[host.name].replace("127.0.0.1", MACHINE),
            "CORRAL_HOME": "/var/lib/corral",
            "CORRAL_IMAGES": "/opt/images",
            "CLOUD_HYPERVISOR": f"/opt/corral/{recipe.GIVEN}",
            "CORRAL_KVM_TRIAL_SECONDS": "240",
            "AGENT_OPTIONS": " ".join([f"--name={host.name}", *offers, *capacity]),
        }

    def _wait(self) -> None:
        """Until all can be used; `StartFailed` tells why one can't."""
        client, began = self.client(), time.monotonic()
        said_at = began
        while waiting := self._not_ready(client.request("GET", "/hosts")["hosts"]):
            now = time.monotonic()
            for machine in self.machines.values():
                if machine.panic or not machine.alive:
                    raise StartFailed(f"{machine.name} ended by itself {machine.panic}\n{self.account()}")
            if now - began > JOIN_SECONDS:
                raise StartFailed(
                    f"waited {JOIN_SECONDS:.0f} s without success. {'; '.join(waiting)}\n{self.account()}"
                )
            if now - said_at > SAY_SECONDS:
                said_at = now
                self._say(f"{now - began:.0f} s: {'; '.join(waiting)}")
            time.sleep(LOOK_SECONDS)

    def _not_ready(self, hosts: list[dict[str, Any]]) -> list[str]:
        """What each host is waited for."""
        known = {host["name"]: host["hypervisors"] for host in hosts}
        waiting = []
        for name in self._names:
            problems = [each["problem"] for each in known.get(name, []) if not each["healthy"]]
            if name not in known:
                waiting.append(f"{name} boots")
            elif problems:
                waiting.append(f"{name}: {', '.join(problems)}")
        return waiting
