"""Prefetches: an image is to be on a host before a VM there needs it, as an operation of the host.

Only the record knows of it, and sweeps drive it: each asks the host how far it is, and with that for some more seconds
to go on. So the death of a process, and a restart of the host, delay it and do not end it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from core.contract.errors import NotFound
from core.contract.images import ImageManifest
from core.contract.messages import Failure, ImageRef
from core.contract.prefetching import PullImageReply
from core.contract.states import LIVE, HostKind, OperationState, SchedulingState
from core.labels import Term
from core.models import Host, Operation
from core.models.base import JSON, new_id, now
from core.services import hosts, labels, operations
from core.services.context import Actor

DEADLINE_SECONDS = 21_600
LONGEST_SECONDS = 7 * 86_400
LEASE_SECONDS = 60.0
AT_ONCE = 64
_PAUSE, _PAUSE_AFTER_SILENCE = timedelta(seconds=1), timedelta(seconds=20)


@dataclass(frozen=True)
class PrefetchRequest:
    """Which hosts: those with these names, or those whose labels are so; neither: all of them."""

    hosts: Sequence[str] = ()
    label: Sequence[Term] = ()
    deadline_seconds: int = DEADLINE_SECONDS


@dataclass(frozen=True)
class Prefetched:
    """An operation for each host that gets the image, and the reason for each other one, by name."""

    operations: list[Operation]
    skipped: list[JSON]


@dataclass(frozen=True)
class Question:
    """What a host is asked."""

    operation_id: str
    host: str
    image: ImageRef


def begin(session: Session, actor: Actor, image: ImageManifest, request: PrefetchRequest) -> Prefetched:
    """Have the image pulled by hosts that lack it. A prefetch that a host is at already is one of the answer.

    `NotFound` for a host that does not exist.
    """
    actor.must_administer()
    found, skipped = [], []
    for name in _chosen(session, request):
        host = hosts.locked(session, name)
        why = _why_not(host, image)
        if why is None:
            found.append(_live(session, name, image) or _new(session, actor, host, image, request))
        else:
            skipped.append({"host": name, "reason": why, "has_image": _has(host, image)})
    return Prefetched(found, skipped)


def is_wanted(session: Session, host: str, digest: str) -> bool:
    """Whether a prefetch of that image by that host is in progress."""
    return any(each.params["digest"] == digest for each in _live_on(session, host))


def waiting(session: Session) -> int:
    """How many there are to look at now."""
    return session.scalar(select(func.count()).select_from(Operation).where(*_due())) or 0


def due(session: Session) -> list[Question]:
    """Whom to ask now, at most `AT_ONCE`; those whose time is over, or whose host is away, are no question."""
    query = select(Operation, Host).join(Host, Host.name == Operation.host_name)
    query = query.where(*_due())
    query = query.order_by(Operation.send_at, Operation.id).limit(AT_ONCE)
    query = query.with_for_update(of=Operation, skip_locked=True).execution_options(populate_existing=True)
    questions = []
    for operation, host in session.execute(query):
        operation.send_at = now() + _PAUSE
        ending = _ending(operation, host)
        if ending is not None:
            _end(session, operation, *ending)
        elif host.offline_since is not None:
            _advance(session, operation, "waiting for the host, which is offline", None)
        else:
            image = ImageRef(operation.params["image"], operation.params["digest"])
            questions.append(Question(operation.id, host.name, image))
    return questions


def note(session: Session, operation_id: str, answer: PullImageReply) -> None:
    """Record what a host has answered."""
    operation = session.get_one(Operation, operation_id, with_for_update=True, populate_existing=True)
    if operation.state not in LIVE:
        return
    if answer.here:
        _end(session, operation, OperationState.SUCCEEDED, None)
    elif answer.error_code:
        _end(session, operation, OperationState.FAILED, Failure(answer.error_code, answer.error))
    else:
        _advance(session, operation, answer.step, answer.percent)


def postpone(session: Session, operation_id: str) -> None:
    """Leave a host alone for a while that has not answered: others are asked meanwhile."""
    operation = session.get_one(Operation, operation_id, with_for_update=True, populate_existing=True)
    operation.send_at = now() + _PAUSE_AFTER_SILENCE


def refuse(session: Session, operation_id: str, code: str, message: str) -> None:
    """Record that a host's agent can't do it."""
    note(session, operation_id, PullImageReply(here=False, error_code=code, error=message))


def _due() -> list[ColumnElement[bool]]:
    return [Operation.kind == HostKind.PREFETCH, Operation.state.in_(LIVE), Operation.send_at <= now()]


def _chosen(session: Session, request: PrefetchRequest) -> list[str]:
    """In the order in which they are locked."""
    query = select(Host.name).where(Host.removed_at.is_(None), *labels.condition(request.label))
    if not request.hosts:
        return list(session.scalars(query.order_by(Host.name)))
    there = set(session.scalars(query.where(Host.name.in_(request.hosts))))
    for name in request.hosts:
        if name not in there:
            raise NotFound(f"host '{name}' not found")
    return sorted(there)


def _has(host: Host, image: ImageManifest) -> bool:
    return image.digest in host.facts.image_contents


def _why_not(host: Host, image: ImageManifest) -> str | None:
    if _has(host, image):
        return "has the image already"
    if host.offline_since is not None:
        return "is offline"
    if host.scheduling_state in (SchedulingState.DRAINING, SchedulingState.DRAINED, SchedulingState.FENCED):
        return f"is {host.scheduling_state}"
    if not host.facts.pulls_images:
        return "can't pull images: its agent does not know the API's address"
    return None


def _live_on(session: Session, host: str) -> list[Operation]:
    query = select(Operation).where(Operation.kind == HostKind.PREFETCH, Operation.state.in_(LIVE))
    return list(session.scalars(query.where(Operation.host_name == host)))


def _live(session: Session, host: str, image: ImageManifest) -> Operation | None:
    return next((each for each in _live_on(session, host) if each.params["digest"] == image.digest), None)


def _new(session: Session, actor: Actor, host: Host, image: ImageManifest, request: PrefetchRequest) -> Operation:
    moment = now()
    operation = Operation(
        id=new_id("op"),
        kind=HostKind.PREFETCH,
        state=OperationState.RUNNING,
        vm_name="",
        host_name=host.name,
        owner_id=actor.user_id,
        actor_id=actor.user_id,
        request_id=actor.request_id,
        params={"image": image.name, "digest": image.digest},
        attempt=1,
        accepted_at=moment,
        begun_at=moment,
        send_at=moment,
        deadline_at=moment + timedelta(seconds=request.deadline_seconds),
    )
    session.add(operation)
    operations.tell(session, None, operation)
    return operation


def _ending(operation: Operation, host: Host) -> tuple[OperationState, Failure] | None:
    image = operation.params["image"]
    if operation.cancel_requested_at is not None:
        return OperationState.CANCELLED, Failure("cancelled", f"the prefetch of image '{image}' was cancelled")
    if host.removed_at is not None or host.scheduling_state == SchedulingState.FENCED:
        what = "fenced" if host.removed_at is None else "removed from the fleet"
        return OperationState.FAILED, Failure("host_unavailable", f"host '{host.name}' was {what}")
    if operation.deadline_at <= now():
        text = f"host '{host.name}' does not have image '{image}' at the prefetch's deadline"
        return OperationState.FAILED, Failure("deadline_exceeded", text)
    return None


def _advance(session: Session, operation: Operation, step: str, percent: int | None) -> None:
    progress: JSON = {"step": step, "percent": percent}
    if operation.progress != progress:
        operation.progress = progress
        operations.tell(session, None, operation)


def _end(session: Session, operation: Operation, state: OperationState, failure: Failure | None) -> None:
    operations.complete(operation, state, failure=failure)
    operations.tell(session, None, operation)
