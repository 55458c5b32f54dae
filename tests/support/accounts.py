"""Accounts in Redis, as hosts have them."""

from __future__ import annotations

from redis import Redis

from cli.fleet.accounts import address
from core.services.identities import accounts

SECRET = "a host's secret"


def account(redis: Redis, url: str, host: str) -> str:
    """The address with which that host's agent comes to the Redis of that address."""
    accounts.grant(redis, {host: accounts.digest(SECRET)})
    return address(url, host, SECRET)
