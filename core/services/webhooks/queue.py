"""The work of webhooks: events become deliveries, and a worker delivers those of one webhook at a time, in order.

Each is delivered at least once: what a worker that died had sent is sent again, with the same id.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, exists, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from core.models import Event, User, Webhook, WebhookDelivery
from core.models.base import JSON, now
from core.services import events
from core.services.webhooks import hooks

LEASE = timedelta(seconds=60)
# After a failed attempt the next one comes so much later; after the last of them none does. About three days.
PAUSES = tuple(timedelta(seconds=n) for n in (5, 60, 300, 1800, 7200, 18000, 36000, 86400, 86400))
SHORTEST_HOLD, LONGEST_HOLD = timedelta(seconds=2), timedelta(minutes=5)
GIVEN_UP_AFTER = timedelta(days=5)
KEPT = timedelta(days=7)
MOST_WAITING = 1000
GONE = 410


@dataclass(frozen=True)
class Parcel:
    """A delivery with all that is sent: `secrets` sign it, the newest first."""

    delivery_id: int
    message_id: str
    url: str
    secrets: tuple[str, ...]
    type: str
    at: str
    data: JSON


@dataclass(frozen=True)
class DeliveryResult:
    """The result of an attempt to deliver: an HTTP status, or None with the reason."""

    status: int | None
    problem: str | None = None

    @property
    def accepted(self) -> bool:
        """Whether the receiver has it."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_of_the_receiver(self) -> bool:
        """Whether no other delivery would fare better just now."""
        return self.status is None or self.status >= 500 or self.status == 429


def fan_out(session: Session) -> int:
    """Make deliveries of the events that have none yet; how many. A webhook with `MOST_WAITING` of them waits."""
    last = events.last_seq(session)
    behind = select(Webhook).where(Webhook.disabled_at.is_(None), Webhook.after_seq < last).order_by(Webhook.id)
    return sum(_fan_out(session, hook, last) for hook in session.scalars(behind.with_for_update(skip_locked=True)))


def _fan_out(session: Session, hook: Webhook, last: int) -> int:
    room = MOST_WAITING - (session.scalar(select(func.count()).where(*_waiting(hook.id))) or 0)
    if room <= 0:
        return 0
    owner = session.get_one(User, hook.owner_id)
    query = select(Event.seq, Event.vm_id, Event.type).where(Event.seq > hook.after_seq, Event.seq <= last)
    query = query.where(events.heard_by(owner.id, is_admin=owner.role == "admin"))
    if hook.types:
        query = query.where(Event.type.in_(hook.types))
    found = session.execute(query.order_by(Event.seq).limit(room)).all()
    hook.after_seq = found[-1].seq if len(found) == room else last
    if found:
        rows = [
            {
                "webhook_id": hook.id,
                "event_seq": event.seq,
                "vm_id": event.vm_id,
                "type": event.type,
                "state": "waiting",
                "attempts": 0,
                "next_try_at": now(),
            }
            for event in found
        ]
        session.execute(insert(WebhookDelivery).on_conflict_do_nothing(), rows)
    return len(found)


def due(session: Session) -> int:
    """How many webhooks a worker could deliver to now."""
    return session.scalar(select(func.count()).select_from(Webhook).where(*_ready())) or 0


def take(session: Session) -> str | None:
    """The webhook that was tried longest ago, now this worker's for `LEASE`. A user has one of the workers at most."""
    query = select(Webhook).where(*_ready()).order_by(Webhook.tried_at.nulls_first(), Webhook.id)
    hook = session.scalar(query.limit(1).with_for_update(skip_locked=True))
    if hook is None:
        return None
    hook.tried_at, hook.leased_until = now(), now() + LEASE
    return hook.id


def following(session: Session, hook_id: str) -> Parcel | None:
    """The next delivery of a webhook that was taken, counted as tried; None when there is nothing to do for now."""
    hook = session.get(Webhook, hook_id, with_for_update=True, populate_existing=True)
    if hook is None or hook.disabled_at is not None or (hook.held_until is not None and hook.held_until > now()):
        return None
    query = select(WebhookDelivery).where(*_waiting(hook_id), WebhookDelivery.next_try_at <= now(), _first_of_its_vm())
    delivery = session.scalar(query.order_by(WebhookDelivery.id).limit(1).with_for_update())
    if delivery is None:
        return None
    hook.leased_until = now() + LEASE
    delivery.attempts += 1
    return _parcel(session, hook, delivery)


def keep(session: Session, hook_id: str, delivery_id: int, answer: DeliveryResult) -> None:
    """What came of it, unless the webhook was deleted meanwhile."""
    hook = session.get(Webhook, hook_id, with_for_update=True, populate_existing=True)
    delivery = session.get(WebhookDelivery, delivery_id, with_for_update=True, populate_existing=True)
    if hook is None or delivery is None:
        return
    delivery.last_status, delivery.last_error = answer.status, answer.problem
    if answer.accepted:
        delivery.state, delivery.ended_at = "delivered", now()
        hook.failing_since = hook.held_until = None
    elif answer.status == GONE:
        hooks.disable(hook, "the receiver has answered 410 Gone")
    else:
        _failed(hook, delivery, answer)


def release(session: Session, hook_id: str) -> None:
    """Leave it to whichever worker comes next."""
    session.execute(update(Webhook).where(Webhook.id == hook_id).values(leased_until=None))


def sweep(session: Session) -> int:
    """Forget the deliveries that ended `KEPT` ago; how many."""
    old = delete(WebhookDelivery).where(WebhookDelivery.ended_at < now() - KEPT)
    return len(session.scalars(old.returning(WebhookDelivery.id)).all())


def _failed(hook: Webhook, delivery: WebhookDelivery, answer: DeliveryResult) -> None:
    if answer.is_of_the_receiver:
        hook.failing_since = hook.failing_since or now()
        # For as long again as it has failed: the pauses double.
        hook.held_until = now() + min(max(now() - hook.failing_since, SHORTEST_HOLD), LONGEST_HOLD)
        if now() - hook.failing_since > GIVEN_UP_AFTER:
            hooks.disable(hook, f"no delivery was accepted for {GIVEN_UP_AFTER.days} days")
    if delivery.attempts > len(PAUSES):
        delivery.state, delivery.ended_at = "failed", now()
    else:
        delivery.next_try_at = now() + PAUSES[delivery.attempts - 1]


def _parcel(session: Session, hook: Webhook, delivery: WebhookDelivery) -> Parcel:
    secrets = [hook.secret]
    if hook.former_secret and hook.former_until and hook.former_until > now():
        secrets.append(hook.former_secret)
    event = session.get(Event, delivery.event_seq) if delivery.event_seq is not None else None
    return Parcel(
        delivery_id=delivery.id,
        message_id=f"{hook.id}.{delivery.event_seq or f'test-{delivery.id}'}",
        url=hook.url,
        secrets=tuple(secrets),
        type=delivery.type,
        at=events.iso(event.at if event else delivery.created_at),
        data=_data(event),
    )


def _data(event: Event | None) -> JSON:
    if event is None:
        return {}
    names = ("seq", "vm_id", "vm_name", "operation_id", "host_name")
    return {name: getattr(event, name) for name in names} | {"details": event.data}


def _ready() -> list[ColumnElement[bool]]:
    other = aliased(Webhook)
    moment = now()
    taken = exists().where(other.owner_id == Webhook.owner_id, other.leased_until > moment)
    waits = exists().where(
        WebhookDelivery.webhook_id == Webhook.id,
        WebhookDelivery.state == "waiting",
        WebhookDelivery.next_try_at <= moment,
        _first_of_its_vm(),
    )
    return [Webhook.disabled_at.is_(None), _past(Webhook.held_until, moment), ~taken, waits]


def _waiting(hook_id: str) -> list[ColumnElement[bool]]:
    return [WebhookDelivery.webhook_id == hook_id, WebhookDelivery.state == "waiting"]


def _first_of_its_vm() -> ColumnElement[bool]:
    """Nothing that happened to the same VM earlier waits still."""
    earlier = aliased(WebhookDelivery)
    return ~exists().where(
        earlier.webhook_id == WebhookDelivery.webhook_id,
        earlier.vm_id == WebhookDelivery.vm_id,
        earlier.state == "waiting",
        earlier.id < WebhookDelivery.id,
    )


def _past(column: InstrumentedAttribute[datetime | None], moment: datetime) -> ColumnElement[bool]:
    return or_(column.is_(None), column <= moment)
