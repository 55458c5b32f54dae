"""The queues of commands and of the control plane's tasks: lists in Redis."""

from __future__ import annotations

from functools import cache

from kombu.entity import Exchange, Queue


@cache
def queue(name: str) -> Queue:
    """It is not declared: no binding is kept in Redis that a FLUSHALL could take away."""
    return Queue(name, Exchange(""), routing_key=name, no_declare=True)  # type: ignore[no-untyped-call]
