"""The agent's Celery app: one worker that reads its own host's queue and nothing else."""

from __future__ import annotations

import logging
import signal
import sys
import warnings
from collections.abc import Callable
from typing import Any

from celery import Celery, signals
from celery.platforms import SecurityWarning
from redis.credentials import CredentialProvider

from agent.broker import celery_events
from agent.broker.connection import SOCKET_SECONDS
from agent.broker.transport import CREDENTIALS
from core import redis_clients
from core.contract import channels
from core.queues import queue


def create_app(host: str, redis_url: str, credentials: CredentialProvider | None = None) -> Celery:
    """An app for that host. It has no result backend: outcomes travel as reports.

    `credentials`: asked by each new connection to Redis; else the address has them.
    """
    broker = redis_url if credentials is None else redis_clients.bare(redis_url)
    app = Celery("corral-agent", broker=broker, set_as_current=False)
    name = channels.command_queue(host)
    app.conf.update(
        broker_transport="agent.broker.transport:CommandTransport",
        broker_transport_options=_transport_options(host) | {CREDENTIALS: credentials},
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        task_queues=[queue(name)],
        task_default_queue=name,
        task_default_exchange="",
        task_default_routing_key=name,
        task_create_missing_queues=False,
        task_ignore_result=True,
        task_acks_late=True,
        task_serializer="json",
        accept_content=["json"],
        worker_prefetch_multiplier=1,
        worker_enable_remote_control=False,
        worker_send_task_events=True,
        worker_redirect_stdouts=False,
        # A lost connection must not stop work on a VM; the journal answers a second delivery.
        worker_cancel_long_running_tasks_on_connection_loss=False,
    )
    celery_events.install(app)
    return app


def _transport_options(host: str) -> dict[str, Any]:
    return {
        "priority_steps": [0],
        # What was popped is not kept in Redis as well: the record sends again what a dead agent had not finished.
        "ack_emulation": False,
        "polling_interval": 1,  # seconds that a pop blocks, and so the longest that an idle agent takes to end
        "socket_timeout": SOCKET_SECONDS,
        "socket_connect_timeout": SOCKET_SECONDS,
        "socket_keepalive": True,
        "health_check_interval": SOCKET_SECONDS,
        "client_name": f"agent-{host}",
    }


def _quieten() -> None:
    for noisy in ("celery.worker.strategy", "celery.app.trace"):
        logging.getLogger(noisy).setLevel(logging.WARNING)  # each command has a line of its own
    warnings.simplefilter("ignore", SecurityWarning)  # as root it would warn of pickle, which is not accepted here


def serve(app: Celery, host: str, concurrency: int, on_stopping: Callable[[], None]) -> int:
    """Runs the worker until a signal ends it; its exit code. `on_stopping` is called in the signal handler."""
    _quieten()

    def stopping(**_: object) -> None:
        on_stopping()

    def ready(**_: object) -> None:
        # Celery would answer the end of a terminal by running itself anew, with arguments that don't work here.
        if sys.platform != "win32":
            signal.signal(signal.SIGHUP, signal.getsignal(signal.SIGTERM))

    signals.worker_shutting_down.connect(stopping, weak=False)
    signals.worker_ready.connect(ready, weak=False)
    signals.setup_logging.connect(lambda **_: None, weak=False)  # with a receiver, Celery leaves logging alone
    worker = app.Worker(
        hostname=f"agent@{host}",
        pool="threads",
        concurrency=concurrency,
        task_events=True,
        without_mingle=True,
        without_gossip=True,
        quiet=True,
    )
    worker.start()
    return int(worker.exitcode or 0)
