"""Celery's events about an agent's tasks, for Flower: sent together a few times a second, not one by one.

Celery gathers a task's events only until its event loop comes round, which is two messages a command and a quarter of
what a busy agent does. Nobody acts on them, so they may come a moment later.
"""

from __future__ import annotations

from typing import Any

from celery import Celery, bootsteps

_GATHER_SECONDS = 0.1


class Gathering(bootsteps.StartStopStep):  # type: ignore[misc]  # celery has no types
    """Takes over when the events that a consumer has gathered are sent; anew with each connection."""

    requires = ("celery.worker.consumer.events:Events",)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._consumer, self._armed = consumer, False

    def start(self, consumer: Any) -> None:
        """Begin with this connection's dispatcher."""
        self._armed = False
        consumer.event_dispatcher.on_send_buffered = self._gathered

    def stop(self, _consumer: Any) -> None:
        """Send the rest. It may be that nothing was ever started."""
        self._send()

    def _gathered(self) -> None:
        """One more waits. This is any thread; timers are the event loop's own."""
        if not self._armed:
            self._armed = True
            self._consumer.hub.call_soon(self._arm)

    def _arm(self) -> None:
        self._consumer.hub.call_later(_GATHER_SECONDS, self._send)

    def _send(self) -> None:
        self._armed = False
        if self._consumer.event_dispatcher is not None:
            self._consumer.event_dispatcher.flush()


def install(app: Celery) -> None:
    """Let the app's workers send their events so."""
    app.steps["consumer"].add(Gathering)
