"""Metrics of a worker for Prometheus, on a port of its own if one is configured."""

from __future__ import annotations

import logging

from prometheus_client import Counter, Gauge, Histogram

log = logging.getLogger(__name__)

REPORTS = Counter("corral_worker_reports", "Reports and inventories that were recorded.")
UNREADABLE = Counter("corral_worker_unreadable_reports", "Messages of hosts that were moved aside.")
RECORD_SECONDS = Histogram("corral_worker_record_seconds", "How long it took to record a batch of reports.")
RECEIVER_AGE = Gauge("corral_worker_receiver_age_seconds", "Seconds since the receiver last looked at every host.")
RECEIVER_WAITING = Gauge(
    "corral_worker_receiver_waiting_hosts", "Hosts whose reports wait because they could not be recorded."
)
RECEIVER_RESTARTS = Counter("corral_worker_receiver_restarts", "How often the receiver's thread was started again.")
SWEEPS = Counter("corral_worker_sweeps", "Rounds of sweeps, by how they ended.", ["outcome"])
SWEEP_FAILURES = Counter("corral_worker_sweep_failures", "Parts of a round of sweeps that failed.", ["part"])
SWEEP_SECONDS = Histogram("corral_worker_sweep_seconds", "How long a round of sweeps took.")
RESENT = Counter("corral_worker_resent_operations", "Operations that were sent again.")
NODE_UP = Gauge("corral_worker_redis_node_up", "Whether a Redis server has the accounts of hosts.", ["node"])
LATE = Counter("corral_worker_late_operations", "Operations that were ended past their deadline.")
