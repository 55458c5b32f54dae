"""`corral-agent join TOKEN`: this machine becomes a host of the fleet that made the token."""

from __future__ import annotations

import argparse
import socket
import sys
import time
from pathlib import Path

import redis

from agent.drivers.registry import CLASSES
from agent.joining import kept, preflight
from agent.joining.asking import JoinRefused, ask
from core import redis_clients, redis_urls, refusals
from core.contract import joining
from core.contract.errors import Invalid
from core.contract.joining import Joined, Token
from core.version import VERSION

_REDIS_SECONDS = 5.0
_PAUSE_SECONDS = 0.2


def main(arguments: list[str]) -> int:
    """Joins; the exit code. Whatever fails, the same line may be used again."""
    options = _parser().parse_args(arguments)
    file: Path = options.settings
    try:
        token = joining.read(options.token)
    except Invalid as error:
        raise SystemExit(error.message) from None
    known = kept.read(file)
    if known is not None and known.token == token.id:
        _say(f"this machine has already joined as '{known.host}'; `corral-agent` runs it")
        return 0
    if not preflight.passed(options.hypervisor or ["qemu"], _say):
        return 1
    try:
        host = _join(file, token, options)
    except JoinRefused as refused:
        if not refused.may_have_joined:
            kept.forget(file)
        raise SystemExit(f"not joined: {refused}") from None
    _say(f"joined as '{host}'; {file} has its settings. `corral-agent` runs it")
    return 0


def _join(file: Path, token: Token, options: argparse.Namespace) -> str:
    try:
        begun = kept.pending(file, token.id)
    except OSError as error:
        raise JoinRefused(
            f"{file.parent} can't be written ({error.strerror}): run it as root, or give --settings"
        ) from None
    joined = ask(token, token.host or options.name, begun.secret, VERSION)
    url = kept.address(file, joined, begun.secret)
    _reach(url, joined)
    home = str(options.home.expanduser().absolute())
    offered = options.hypervisor or ["qemu"]
    kept.keep(file, kept.SavedSettings(joined.host, home, url, token.id, offered, token.url, token.pin))
    return joined.host


def _reach(url: str, joined: Joined) -> None:
    """The account is made in a moment; `JoinRefused` when Redis can't be reached with it."""
    until = time.monotonic() + _REDIS_SECONDS
    try:
        client = redis_clients.connect(redis_urls.checked(url), seconds=_REDIS_SECONDS)
    except ValueError as error:
        raise JoinRefused(str(error), may_have_joined=True) from None
    with client:
        while True:
            try:
                client.ping()
            except redis.RedisError as error:
                if time.monotonic() > until:
                    raise JoinRefused(
                        f"Redis at {joined.redis_url} {refusals.reason(error)} from this machine: the API's"
                        " CORRAL_AGENT_REDIS_URL must be an address that hosts can reach; then use the same line again",
                        may_have_joined=True,
                    ) from None
                time.sleep(_PAUSE_SECONDS)
            else:
                return


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="corral-agent join",
        description="Makes this machine a host of a fleet. An administrator of the fleet makes the token with `corral "
        "host add`. If joining fails, nothing is left behind, and the same line can be used again.",
    )
    parser.add_argument("token", help="the token that `corral host add` has printed")
    parser.add_argument(
        "--name",
        default=socket.gethostname().partition(".")[0].lower(),
        help="the host's name, unless the token names one (default: %(default)s)",
    )
    parser.add_argument(
        "--hypervisor",
        action="append",
        choices=sorted(CLASSES),
        help="a hypervisor to offer; repeatable (default: qemu)",
    )
    parser.add_argument(
        "--settings", type=Path, default=kept.default_file(), help="the file to write (default: %(default)s)"
    )
    parser.add_argument(
        "--home",
        type=Path,
        default=kept.default_home(),
        help="the folder for VMs and state (default: %(default)s)",
    )
    return parser
