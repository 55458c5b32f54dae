"""Metrics of the fleet for Prometheus, read for a scrape, but not more often than every few seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from api.web import bounded_checks
from api.web.context import ApiContext
from core.services.monitoring import metrics
from core.services.monitoring.metrics import Queues, Tables

_KEPT_SECONDS = 5.0


class FleetMetrics(Collector):
    """Without PostgreSQL or Redis their figures are missing, and `corral_up` says so."""

    def __init__(self, context: ApiContext) -> None:
        self._context = context
        self._lock = threading.Lock()
        self._read_at = -_KEPT_SECONDS
        self._last: tuple[Tables | None, Queues | None] = (None, None)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """All families."""
        tables, queues = self._read()
        up = _family("corral_up", "Whether the API reaches PostgreSQL and Redis.", ["server"])
        up.add_metric(["postgresql"], float(tables is not None))
        up.add_metric(["redis"], float(queues is not None))
        yield up
        if tables is not None:
            yield from _of_tables(tables)
        if queues is not None:
            yield from _of_queues(queues)

    def _read(self) -> tuple[Tables | None, Queues | None]:
        with self._lock:
            if time.monotonic() - self._read_at > _KEPT_SECONDS:
                tables = bounded_checks.ask_database(self._tables)
                bounded_checks.answered(tables)
                known = bounded_checks.answer_or(tables, None)
                hosts = [*known.online, *known.offline] if known else []
                queues = bounded_checks.ask_redis(lambda: metrics.of_queues(self._context.dispatch.redis, hosts))
                bounded_checks.answered(queues)
                self._last, self._read_at = (known, bounded_checks.answer_or(queues, None)), time.monotonic()
            return self._last

    def _tables(self) -> Tables:
        with self._context.reading() as session:
            return metrics.of_tables(session)


def _of_tables(tables: Tables) -> Iterator[GaugeMetricFamily]:
    operations = _family(
        "corral_operations", "Operations in progress or of the last hour, by kind and state.", ["kind", "state"]
    )
    for (kind, state), count in tables.operations.items():
        operations.add_metric([kind, state], count)
    yield operations
    vms = _family("corral_vms", "VMs by status.", ["status"])
    for status, count in tables.vms.items():
        vms.add_metric([status], count)
    yield vms
    hosts = _family("corral_hosts", "Online hosts, and offline ones.", ["state"])
    hosts.add_metric(["online"], len(tables.online))
    hosts.add_metric(["offline"], len(tables.offline))
    yield hosts


def _of_queues(queues: Queues) -> Iterator[GaugeMetricFamily]:
    waiting = _family("corral_waiting_messages", "Messages waiting in Redis, over all hosts.", ["queue"])
    for queue, count in queues.waiting.items():
        waiting.add_metric([queue], count)
    yield waiting
    lag = _family("corral_reports_lag_seconds", "How long the oldest report has waited to be recorded.", [])
    lag.add_metric([], queues.lag_seconds)
    yield lag


def _family(name: str, says: str, labels: list[str]) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, says, labels=labels)
