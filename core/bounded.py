"""Values in Redis that a host has written, read no further than they may be long: a flood is nobody else's to carry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis import Redis

SHORT = 16 * 1024  # of what hosts say every few seconds
LONG = 64 * 2**20  # of a reply that is parked: two outputs, encoded twice
# What is no string is passed over, as MGET does. Of one that is too long only its beginning is told.
_READ = """
local found = {}
for index, key in ipairs(KEYS) do
  local length = redis.pcall('STRLEN', key)
  if type(length) == 'table' then
    if not string.find(length.err, 'WRONGTYPE', 1, true) then return length end
    found[index] = false
  elseif length > tonumber(ARGV[1]) then
    found[index] = redis.call('GETRANGE', key, 0, ARGV[1])
  else
    found[index] = redis.call('GET', key)
  end
end
return found
"""
_FIELD = """
if redis.call('HSTRLEN', KEYS[1], ARGV[1]) > tonumber(ARGV[2]) then return false end
return redis.call('HGET', KEYS[1], ARGV[1])
"""
_TAKE = """
local length = redis.call('STRLEN', KEYS[1])
local found = length <= tonumber(ARGV[1]) and redis.call('GET', KEYS[1])
redis.call('DEL', KEYS[1])
return found
"""


def read(redis: Redis, keys: Sequence[str]) -> list[bytes | None]:
    """The short values of these keys; of a longer one its beginning, which is no whole message."""
    return list(_run(redis, _READ, keys, SHORT)) if keys else []


def field(redis: Redis, key: str, name: str) -> bytes | None:
    """A short field of a hash; None for one that is longer."""
    found: bytes | None = _run(redis, _FIELD, [key], name, SHORT)
    return found


def take(redis: Redis, key: str) -> bytes | None:
    """A value that is gone then; None for one that is too long."""
    found: bytes | None = _run(redis, _TAKE, [key], LONG)
    return found


def _run(redis: Redis, script: str, keys: Sequence[str], *arguments: str | int) -> Any:
    return redis.register_script(script)(list(keys), list(arguments))
