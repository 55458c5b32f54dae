"""Logins: attempts are limited by name and address, and the password is checked.

Nobody learns which names exist, as unknown ones are counted alike; and nobody can lock another out, as the count is of
those who come from the same address. A password is checked between two short transactions: that takes a processor
tens of milliseconds, for which no row is held.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.contract.errors import TooMany, Unauthenticated
from core.models import LoginFailure, User
from core.models.base import now
from core.services import users

FREE_TRIES = 5
_LONGEST_PAUSE = timedelta(minutes=5)
_FORGOTTEN_AFTER = timedelta(hours=1)


@dataclass(frozen=True)
class Attempt:
    """One try to log in, which counts as a failure until it has succeeded."""

    username: str
    address: str
    user_id: str | None
    password_hash: str

    def matches(self, password: str) -> bool:
        """Whether the password is right; it takes as long for an account that there isn't."""
        return users.matches(self.password_hash, password) and self.user_id is not None


def begin(session: Session, username: str, source: str) -> Attempt:
    """Count a try. After `FREE_TRIES` failures each next one must wait, twice as long each time: `TooMany`."""
    address, at = _network(source), now()
    session.execute(delete(LoginFailure).where(LoginFailure.last_at < at - _FORGOTTEN_AFTER))
    first = {"username": username, "address": address, "count": 0, "last_at": at}
    session.execute(insert(LoginFailure).values(first).on_conflict_do_nothing())
    failed = session.get_one(LoginFailure, (username, address), with_for_update=True, populate_existing=True)
    if failed.next_try_at and failed.next_try_at > at:
        seconds = int((failed.next_try_at - at).total_seconds()) + 1
        raise TooMany(f"too many wrong passwords; try again in {seconds} s", retry_after_seconds=seconds)
    failed.count, failed.last_at = failed.count + 1, at
    if failed.count >= FREE_TRIES:
        pause = timedelta(seconds=2 ** min(failed.count - FREE_TRIES + 1, 20))
        failed.next_try_at = at + min(pause, _LONGEST_PAUSE)
    user = session.scalar(select(User).where(User.username == username))
    if user is None:
        return Attempt(username, address, None, users.decoy())
    return Attempt(username, address, user.id, user.password_hash)


def succeeded(session: Session, attempt: Attempt) -> User:
    """The user of an attempt whose password is right; `Unauthenticated` if the account is disabled."""
    session.execute(
        delete(LoginFailure).where(LoginFailure.username == attempt.username, LoginFailure.address == attempt.address)
    )
    user = session.get(User, attempt.user_id)
    if user is None or user.password_hash != attempt.password_hash:
        raise Unauthenticated("the password has just been changed; log in again")
    users.must_be_enabled(user)
    return user


def _network(source: str) -> str:
    """Who can choose among many addresses counts as one: a network of 64 bits is handed out to a single customer."""
    try:
        address = ipaddress.ip_address(source)
    except ValueError:
        return source[:64]
    if isinstance(address, ipaddress.IPv6Address) and not address.is_loopback:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
