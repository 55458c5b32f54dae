"""Accounts in Redis, as hosts have them."""

from __future__ import annotations

from redis import Redis

from cli.fleet.accounts import address
from core.services.identities import accounts

SECRET = "a host's secret"


def admit(redis: Redis, host: str) -> None:
    """Makes a host's account, as the workers do, and do again after each restart of Redis."""
    accounts.grant(redis, {host: accounts.HostAccount(accounts.digest(SECRET))})


def address_of(url: str, host: str) -> str:
    """The address with which that host's agent comes to the Redis of that address."""
    return address(url, host, SECRET)


def account(redis: Redis, url: str, host: str) -> str:
    """Both."""
    admit(redis, host)
    return address_of(url, host)
