"""The Redis user of each host's agent: the keys, channels and commands of that host alone.

A user made so is refused everything else: other hosts' keys, scripts, searches for keys, settings, and other users.
Needs Redis 7 or Valkey: what is in brackets is a selector, within which commands and keys belong together, so that
(say) `del` on one key gives no `del` on another.
"""

from __future__ import annotations

from collections.abc import Sequence

from core.contract import channels

_CONNECTIONS = ("+ping", "+hello", "+client|setname")
_TRANSACTIONS = ("+multi", "+exec", "+discard", "+unwatch")  # of commands that are allowed anyway


def rules(host: str, secrets_sha256: Sequence[str], database: int = 0) -> tuple[str, ...]:
    """The arguments of `ACL SETUSER` behind the name: the whole user, whatever it was before; any secret will do."""
    known = _known(host, secrets_sha256, database)
    return (*known, *_TRANSACTIONS, *_of_keys(host), *_of_channels(database))


def closed_rules(host: str, secrets_sha256: Sequence[str], database: int = 0) -> tuple[str, ...]:
    """The same of a host that is fenced: it may ask whether it is, and nothing else."""
    return _known(host, secrets_sha256, database)


def _known(host: str, secrets_sha256: Sequence[str], database: int) -> tuple[str, ...]:
    several = ("+select",) if database else ()
    secrets = (f"#{each}" for each in secrets_sha256)
    return ("reset", "on", *secrets, *_CONNECTIONS, *several, f"(+get %R~{channels.fence(host)})")


def _of_keys(host: str) -> tuple[str, ...]:
    queue, calls, lease = channels.command_queue(host), channels.calls(host), channels.lease(host)
    told = (channels.heartbeat(host), channels.call_key(host), channels.usage(host), channels.claim(host))
    return (
        f"(+brpop +blpop ~{queue} ~{calls})",
        f"(+rpush ~{channels.reports(host)})",
        f"(+get +set +del +watch ~{lease})",
        f"(+get %R~{channels.home(host)})",
        f"(+set {' '.join(f'~{key}' for key in told)})",
        f"(+set %W~{channels.parked_reply(host, '*')})",
        f"(+hset +del +expire ~{channels.vm_usage(host)})",
    )


def _of_channels(database: int) -> tuple[str, ...]:
    # The ids of streams, and of calls that replies name, are random and told to the host that they are for.
    said = (channels.REPORTS_WAKEUP, channels.replies("*"), channels.stream("*", "api"), f"/{database}.celeryev/*")
    return (
        f"(+publish {' '.join(f'&{channel}' for channel in said)})",
        f"(+subscribe +unsubscribe &{channels.stream('*', 'agent')})",
    )
