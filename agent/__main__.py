"""The host agent's command line: `python -m agent --name host-a`, or `corral-agent`."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path

from agent import runtime
from agent.broker import secret
from agent.drivers.registry import CLASSES, FAKE
from agent.host import capacity
from agent.images.collecting import Rules
from agent.images.source import Source
from agent.joining import command as joining
from agent.joining import kept
from agent.media.media import DISKS
from agent.network import options as network
from core import allocation, log, settings
from core.contract import channels


def main(arguments: list[str] | None = None) -> int:
    """Runs an agent until it is told to stop; the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["join"]:
        return joining.main(arguments[1:])
    options = _parser().parse_args(arguments)
    environment = settings.load()
    joined = _joined(options, environment)
    log.setup(f"agent@{joined.host}", environment.log_level)
    settings.report()
    allocation.give_back()
    if not joined.redis_url and not options.remove_network:
        raise SystemExit("REDIS_URL is not set: the agent needs the fleet's Redis, e.g. redis://127.0.0.1:6379/0")
    if FAKE in joined.hypervisors and not environment.fake:
        raise SystemExit(
            "the fake driver runs no VMs and is only for tests: set CORRAL_FAKE=1 for the agent and for the API"
        )
    home = Path(joined.home) / "hosts" / joined.host
    (home / "vms").mkdir(parents=True, exist_ok=True)
    (home / "media").mkdir(exist_ok=True)
    media = environment.media or (home / "media",)
    described = network.of(options, home)
    with runtime.locked(home, joined.host) as lock, described.claimed():
        if options.remove_network:
            described.remove()
            return 0
        own, api = secret.of(joined.redis_url, home, joined.host), environment.public_url or joined.api_url
        described.set_up(path.name for path in (home / "vms").iterdir())
        config = runtime.Config(
            host=joined.host,
            home=home,
            images=environment.images,
            media=media,
            redis_url=joined.redis_url,
            hypervisors=joined.hypervisors,
            capacity=capacity.measure(
                (home / "vms", media[0] / DISKS), options.vcpus, options.memory_mb, options.disk_gb
            ),
            concurrency=options.concurrency,
            finish_seconds=options.finish_seconds,
            metrics_bind=environment.metrics_bind,
            metrics_port=environment.metrics_port,
            metrics_token=environment.metrics_token,
            cgroup=Path(environment.cgroup) if environment.cgroup else None,
            network=described,
            lock=lock,
            secret=own,
            source=Source(api, joined.api_pin, joined.host, lambda: own.sha256) if own and api else None,
            pull_mb_per_second=environment.pull_mb_per_second,
            pulled=Rules(environment.pulled_days, environment.pulled_free_mb << 20),
        )
        return runtime.run(config)


def _joined(options: argparse.Namespace, environment: settings.Settings) -> kept.SavedSettings:
    """What makes this machine a host: with a name the environment, else what a join has left."""
    if options.name:
        offered = options.hypervisor or ["qemu"]
        return kept.SavedSettings(options.name, str(environment.home), environment.redis_url, "", offered)
    found = kept.read(options.settings)
    if found is None:
        raise SystemExit(
            f"this machine has not joined a fleet ({options.settings} does not exist): run `corral-agent join TOKEN`"
            " with a token of `corral host add`, or give --name and set REDIS_URL"
        )
    return replace(found, hypervisors=options.hypervisor or found.hypervisors or ["qemu"])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="corral-agent",
        description="Runs a host of a fleet: takes commands from the fleet's Redis, carries them out and reports.",
        epilog="`corral-agent join TOKEN` makes this machine a host; without that, give --name and set REDIS_URL. "
        "State is in CORRAL_HOME/hosts/<name>/. `corral settings` lists every environment variable. After SIGTERM "
        "running commands may finish for a while; the next start resumes the rest.",
    )
    parser.add_argument(
        "--name",
        type=_host_name,
        help="the host's name, unique in the fleet (default: the name that it has joined with)",
    )
    parser.add_argument(
        "--settings",
        type=Path,
        default=kept.default_file(),
        help="the file written by `corral-agent join`, read without --name (default: %(default)s)",
    )
    parser.add_argument(
        "--hypervisor",
        action="append",
        choices=sorted(CLASSES),
        help="a hypervisor to offer; repeatable (default: qemu)",
    )
    parser.add_argument("--vcpus", type=_positive, help="virtual CPUs to offer (default: four per core)")
    parser.add_argument("--memory-mb", type=_positive, help="memory to offer, in MiB (default: 90%% of what there is)")
    parser.add_argument("--disk-gb", type=_positive, help="disk to offer, in GiB (default: 90%% of what is free)")
    parser.add_argument(
        "--concurrency",
        type=_positive,
        default=max(16, 2 * (os.cpu_count() or 1)),
        help="commands to carry out at once (default: %(default)s)",
    )
    parser.add_argument(
        "--finish-seconds",
        type=_positive,
        default=10,
        help="seconds that running commands may take to finish after SIGTERM (default: %(default)s)",
    )
    network.add(parser)
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return number


def _host_name(text: str) -> str:
    if not channels.HOST_NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r}: use lower-case letters, digits, '.' and '-', at most 63")
    return text


if __name__ == "__main__":
    sys.exit(main())
