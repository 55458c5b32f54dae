"""The names of every queue, key and channel in Redis: one place per name.

What an agent writes has its host's name in it: Redis lets each agent have the keys of its own host alone
(`core.redis_users`).
"""

from __future__ import annotations

import re

HOST_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,62}")
CONTROL_QUEUE = "control"  # Celery: the control plane's own tasks
WORKERS = "workers"  # sorted set: a control worker's name, when it was last alive
RECEIVERS = "receivers"  # hash: a control worker's name -> ReceiverState
SWEPT = "swept"  # when the last round of sweeps was done, with nothing failing
CLAIM_SECONDS = 60  # for which a claim is there
NODES = "nodes"  # hash: the place of a Redis server beside this one -> RedisNodeState
PROBE = "probe"  # written now and then, to see whether Redis takes anything
REPORTS_WAKEUP = "reports"  # pub/sub: a host's name, after it has appended to its list
DEAD = ":dead"  # ends the name of a list of messages that were moved aside, each with its reason
EVENTS = "events"  # pub/sub: events as JSON, after their commit


def account(host: str) -> str:
    """The user of Redis as which the host's agent comes."""
    return f"host.{host}"


def command_queue(host: str) -> str:
    """The Celery queue that the host's agent alone reads."""
    return f"host.{host}"


def lease(host: str) -> str:
    """Who serves as that host now; it vanishes when it is not renewed."""
    return f"agent:{host}"


def heartbeat(host: str) -> str:
    """The host's last Heartbeat."""
    return f"heartbeat:{host}"


def call_key(host: str) -> str:
    """The key that calls to the host are sealed with."""
    return f"call_key:{host}"


def home(host: str) -> str:
    """The id of the home whose agent is believed; written by the control plane alone."""
    return f"home:{host}"


def fence(host: str) -> str:
    """The host's Fence, if it ever was fenced; written by the control plane alone."""
    return f"fence:{host}"


def claim(host: str) -> str:
    """There for `CLAIM_SECONDS` after another agent wanted the host's name."""
    return f"claim:{host}"


def calls(host: str) -> str:
    """The list of calls that the host's agent pops."""
    return f"calls:{host}"


def usage(host: str) -> str:
    """The HostUsage of the host's machine."""
    return f"machine:{host}"


def vm_usage(host: str) -> str:
    """The hash of the host's VMs: VM id -> VmUsage; it vanishes when it is not renewed."""
    return f"usage:{host}"


def requests_of_day(day: str) -> str:
    """How many requests the API has answered on that day (UTC)."""
    return f"requests:{day}"


def requests_of_minute(minute: int) -> str:
    """The hash of how many were timed in that minute since the epoch, and their milliseconds."""
    return f"requests:minute:{minute}"


def reports(host: str) -> str:
    """The list that the host's agent appends its reports and inventories to."""
    return f"reports:{host}"


def dead_reports(host: str) -> str:
    """Where the receiver moves what can't be applied: JSON with "at", "reason" and "entry", bounded."""
    return reports(host) + DEAD


def replies(process: str) -> str:
    """The pub/sub channel on which one API process hears the replies to its calls."""
    return f"replies:{process}"


def stream(stream_id: str, end: str) -> str:
    """The pub/sub channel on which one end of a stream, "api" or "agent", hears the other."""
    return f"stream:{stream_id}:{end}"


def parked_reply(host: str, call_id: str) -> str:
    """The key, for a short time, of a long reply: Redis cuts off a subscriber that has megabytes waiting for it."""
    return f"reply:{host}:{call_id}"
