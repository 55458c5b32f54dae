"""Work that would block the process, done beside its requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import gevent
from gevent import monkey

T = TypeVar("T")


def beside(work: Callable[[], T]) -> T:
    """What `work` returns, from a real thread, where threads are gevent's own and share one."""
    if not monkey.is_module_patched("threading"):
        return work()
    done: T = gevent.get_hub().threadpool.apply(work)
    return done
