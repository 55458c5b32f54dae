"""The Celery app of a control worker: `celery -A workers.app worker`; Flower reads it too."""

from __future__ import annotations

import os
import socket
import time
from typing import Any

from celery import Celery, bootsteps

from core import allocation, exposition, log, settings
from core.contract import channels
from core.queues import queue
from workers import context
from workers.receiver import Receiver
from workers.transport import SWEEP_TASK

configured = settings.load()
_NAME = f"{socket.gethostname()}:{os.getpid()}"

app = Celery("workers", broker=configured.redis_url, include=["workers.tasks"])
app.conf.update(
    broker_transport="workers.transport:TaskTransport",
    task_ignore_result=True,
    task_serializer="json",
    accept_content=["json"],
    task_queues=[queue(channels.CONTROL_QUEUE)],
    task_default_queue=channels.CONTROL_QUEUE,
    task_default_exchange="",
    task_default_routing_key=channels.CONTROL_QUEUE,
    task_create_missing_queues=False,
    worker_enable_remote_control=False,
    worker_send_task_events=True,
    worker_hijack_root_logger=False,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_transport_options={
        "priority_steps": [0],
        "ack_emulation": False,  # a lost sweep is made up for by the next, and so is the wakeup of a scan
        "socket_timeout": 5,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 5,
    },
)


class Schedule(bootsteps.StartStopStep):  # type: ignore[misc]
    """Wakes the sweeps from the worker's own timer: a beat process less, and any number of workers may wake them."""

    requires = {"celery.worker.components:Timer"}

    def start(self, parent: Any) -> None:
        """Begin to wake them, and to receive reports."""
        log.setup(f"control@{socket.gethostname()}", configured.log_level)
        settings.report()
        allocation.give_back()
        exposition.serve(configured.metrics_bind, configured.metrics_port, configured.metrics_token)
        self.receiver = Receiver(context.get(), _NAME)
        self.receiver.start()
        self.wakeups = parent.timer.call_repeatedly(configured.sweep_seconds, self.wake)

    def wake(self) -> None:
        """Ring for a sweep, and see that the receiver lives."""
        dispatch = context.get().dispatch
        self.receiver.watch()
        dispatch.attempt(lambda: app.send_task(SWEEP_TASK, retry=False))
        dispatch.attempt(lambda: dispatch.redis.zadd(channels.WORKERS, {_NAME: time.time()}))

    def stop(self, parent: Any) -> None:
        """End with the worker."""
        del parent
        self.wakeups.cancel()
        self.receiver.stop()


app.steps["worker"].add(Schedule)
