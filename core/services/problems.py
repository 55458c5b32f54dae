"""Problems of a host beside its hypervisors: one event when a problem begins, and one when it is over."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from core import bounded
from core.contract import channels
from core.contract.hosts import HostUsage
from core.models import Host
from core.models.base import now
from core.services import events, usage
from core.services.context import dispatch_of

LOW_DISK, CLOCK, IMPOSTOR = "low_disk", "clock", "impostor"
_NO_NEW_VMS = (LOW_DISK,)
_ENOUGH = 1.25  # times the least: a host on the edge keeps its word for a while
_SKEW_SECONDS = 30.0
_IMPOSTOR = "another agent uses this host's name, and its messages are ignored: give that agent another name"


def tell(session: Session, host: Host, code: str, message: str) -> None:
    """The host has that problem; an empty message: it has not."""
    known = host.problems.get(code)
    if message and known is None:
        host.problems = host.problems | {code: {"message": message, "since": events.iso(now())}}
        data = {"host": host.name, "problem": code, "message": message}
        events.of_host(session, "host_problem", host.name, data)
    elif not message and known is not None:
        host.problems = {other: problem for other, problem in host.problems.items() if other != code}
        events.of_host(session, "host_problem_over", host.name, {"host": host.name, "problem": code})


def against_placement(host: Host) -> dict[str, str]:
    """Why the host takes no new VMs, by the problem's word; empty if it does."""
    return {code: str(host.problems[code]["message"]) for code in _NO_NEW_VMS if code in host.problems}


def claim(session: Session, host: str) -> None:
    """Another agent calls itself so."""
    dispatch = dispatch_of(session)
    dispatch.attempt(lambda: dispatch.redis.set(channels.claim(host), 1, ex=channels.CLAIM_SECONDS))


def of_clock(session: Session, ahead: dict[str, float]) -> None:
    """The clocks of the hosts that were heard of are so many seconds ahead of the control plane's."""
    off = [name for name, seconds in ahead.items() if abs(seconds) > _SKEW_SECONDS]
    told = Host.name.in_(list(ahead)) & Host.problems.has_key(CLOCK)
    for host in session.scalars(select(Host).where(Host.name.in_(off) | told).order_by(Host.name).with_for_update()):
        tell(session, host, CLOCK, _off(ahead[host.name]) if host.name in off else "")


def _off(seconds: float) -> str:
    word = "ahead of" if seconds > 0 else "behind"
    return f"its clock is {abs(seconds):.0f} s {word} the control plane's, so deadlines are wrong here: set it by NTP"


def look(session: Session, low_disk_mb: int) -> None:
    """Tell of hosts with little disk left, and of names that several agents want; Redis knows whose each name is."""
    redis = dispatch_of(session).redis
    present = select(Host.name, Host.home_id, Host.problems).where(Host.removed_at.is_(None)).order_by(Host.name)
    hosts = list(session.execute(present))
    machines = usage.of_machines(session, [name for name, _, _ in hosts])
    claims = bounded.read(redis, [channels.claim(name) for name, _, _ in hosts])
    homes: dict[str, str] = {}
    changes = []
    for (name, home_id, known), claimed in zip(hosts, claims, strict=True):
        homes |= {channels.home(name): home_id} if home_id else {}
        found = {IMPOSTOR: _IMPOSTOR if claimed else ""}
        if name in machines:
            found[LOW_DISK] = _low_disk(machines[name], low_disk_mb, LOW_DISK in known)
        changes += [(name, code, message) for code, message in found.items() if bool(message) != (code in known)]
    for name, code, message in changes:
        host = session.get_one(Host, name, with_for_update=True, populate_existing=True)
        tell(session, host, code, message)
        session.flush()
    if homes:
        redis.mset(homes)


def _low_disk(used: HostUsage, least_mb: int, is_low: bool) -> str:
    free = used.disk_total_mb - used.disk_used_mb if used.disk_free_mb is None else used.disk_free_mb
    if free >= least_mb * (_ENOUGH if is_low else 1):
        return ""
    return f"has less than {least_mb} MB of disk left, so it takes no new VMs"
