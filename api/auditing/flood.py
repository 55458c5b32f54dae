"""Limits the refusals in the audit log: the first of each caller are written, and the rest are counted."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from core.services.audit.records import AuditRecord

WINDOW_SECONDS = 60.0
OF_ONE_CALLER = 60
OF_ALL_STRANGERS = 300
_SUMS = 200  # further kinds are summed up together

Write = Callable[[AuditRecord], None]


class Flood:
    """One a process. `write` is handed a sum for each kind of refusal that was only counted, once its minute is over.

    What was counted and not yet written is lost when the process dies.
    """

    def __init__(self, write: Write, window_seconds: float = WINDOW_SECONDS) -> None:
        self._write, self._window = write, window_seconds
        self._lock = threading.Lock()
        self._ends_at = 0.0
        self._seen: Counter[str] = Counter()
        self._strangers = 0
        self._held: dict[tuple[str, ...], tuple[AuditRecord, int]] = {}

    def admits(self, record: AuditRecord) -> bool:
        """Whether this refusal is to be written by itself; if not, it has been counted."""
        with self._lock:
            self._begin_window()
            caller = record.user_id or f"address:{record.source_ip}"
            self._seen[caller] += 1
            self._strangers += record.user_id is None
            if self._seen[caller] <= OF_ONE_CALLER and (record.user_id or self._strangers <= OF_ALL_STRANGERS):
                return True
            self._hold(caller, record)
            return False

    def flush(self) -> None:
        """Write the sums of what was counted."""
        with self._lock:
            held, self._held = self._held, {}
        for record, count in held.values():
            self._write(replace(record, details={**record.details, "repeated": count}))

    def _begin_window(self) -> None:
        now = time.monotonic()
        if now >= self._ends_at:
            self._ends_at = now + self._window
            self._seen.clear()
            self._strangers = 0

    def _hold(self, caller: str, record: AuditRecord) -> None:
        if not self._held:
            timer = threading.Timer(max(0.0, self._ends_at - time.monotonic()), self.flush)
            timer.daemon = True
            timer.start()
        key: tuple[str, ...] = (caller, record.action_type, str(record.status_code))
        if key not in self._held and len(self._held) >= _SUMS:
            key = ("others", str(record.status_code))
            record = replace(record, action_type="various", resource_type="various", resource_id="", source_ip=None)
        first, count = self._held.get(key, (record, 0))
        self._held[key] = (first, count + 1)
